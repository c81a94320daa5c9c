#include "core/amqp091/wire/methods.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/amqp091/wire/hex.h"

namespace talaria::amqp091::wire {
namespace {

using testing::emitted;
using testing::from_hex;
using testing::packed;
using testing::to_hex;

// ---- the specification ----------------------------------------------------------------------------------------------

// The fields of every method as amqp0-9-1.extended.xml lists them; access, connection.blocked, connection.unblocked
// and connection.update-secret, which are not in it, as RabbitMQ documents them.
constexpr std::string_view specification = R"(
connection.start 10 10 octet octet table longstr longstr
connection.start-ok 10 11 table shortstr longstr shortstr
connection.secure 10 20 longstr
connection.secure-ok 10 21 longstr
connection.tune 10 30 short long short
connection.tune-ok 10 31 short long short
connection.open 10 40 shortstr shortstr bit
connection.open-ok 10 41 shortstr
connection.close 10 50 short shortstr short short
connection.close-ok 10 51
connection.blocked 10 60 shortstr
connection.unblocked 10 61
connection.update-secret 10 70 longstr shortstr
connection.update-secret-ok 10 71
channel.open 20 10 shortstr
channel.open-ok 20 11 longstr
channel.flow 20 20 bit
channel.flow-ok 20 21 bit
channel.close 20 40 short shortstr short short
channel.close-ok 20 41
access.request 30 10 shortstr bit bit bit bit bit
access.request-ok 30 11 short
exchange.declare 40 10 short shortstr shortstr bit bit bit bit bit table
exchange.declare-ok 40 11
exchange.delete 40 20 short shortstr bit bit
exchange.delete-ok 40 21
exchange.bind 40 30 short shortstr shortstr shortstr bit table
exchange.bind-ok 40 31
exchange.unbind 40 40 short shortstr shortstr shortstr bit table
exchange.unbind-ok 40 51
queue.declare 50 10 short shortstr bit bit bit bit bit table
queue.declare-ok 50 11 shortstr long long
queue.bind 50 20 short shortstr shortstr shortstr bit table
queue.bind-ok 50 21
queue.purge 50 30 short shortstr bit
queue.purge-ok 50 31 long
queue.delete 50 40 short shortstr bit bit bit
queue.delete-ok 50 41 long
queue.unbind 50 50 short shortstr shortstr shortstr table
queue.unbind-ok 50 51
basic.qos 60 10 long short bit
basic.qos-ok 60 11
basic.consume 60 20 short shortstr shortstr bit bit bit bit table
basic.consume-ok 60 21 shortstr
basic.cancel 60 30 shortstr bit
basic.cancel-ok 60 31 shortstr
basic.publish 60 40 short shortstr shortstr bit bit
basic.return 60 50 short shortstr shortstr shortstr
basic.deliver 60 60 shortstr longlong bit shortstr shortstr
basic.get 60 70 short shortstr bit
basic.get-ok 60 71 longlong bit shortstr shortstr long
basic.get-empty 60 72 shortstr
basic.ack 60 80 longlong bit
basic.reject 60 90 longlong bit
basic.recover-async 60 100 bit
basic.recover 60 110 bit
basic.recover-ok 60 111
basic.nack 60 120 longlong bit bit
confirm.select 85 10 bit
confirm.select-ok 85 11
tx.select 90 10
tx.select-ok 90 11
tx.commit 90 20
tx.commit-ok 90 21
tx.rollback 90 30
tx.rollback-ok 90 31
)";

std::string domain(uint8_t) { return " octet"; }
std::string domain(uint16_t) { return " short"; }
std::string domain(uint32_t) { return " long"; }
std::string domain(uint64_t) { return " longlong"; }
std::string domain(bool) { return " bit"; }
std::string domain(std::string_view) { return " shortstr"; }
std::string domain(Bytes) { return " longstr"; }
std::string domain(Table) { return " table"; }
template <class T>
std::string domain(Reserved<T>) {
  return domain(T{});
}

template <class M>
std::string line_of() {
  M method;
  std::string line =
      std::string(M::name) + " " + std::to_string(class_of(M::id)) + " " + std::to_string(method_of(M::id));
  std::apply([&](const auto&... field) { ((line += domain(field)), ...); }, M::fields(method));
  return line + "\n";
}

template <class... M>
std::string lines_of_all(MethodList<M...>) {
  return "\n" + (line_of<M>() + ...);
}

TEST(WireMethods, AreTheSpecificationFieldByField) { EXPECT_EQ(lines_of_all(Methods{}), specification); }

TEST(WireMethods, AreNamedById) {
  EXPECT_EQ(method_name(id_of(60, 40)), "basic.publish");
  EXPECT_EQ(method_name(id_of(40, 51)), "exchange.unbind-ok");
  EXPECT_EQ(method_name(id_of(40, 41)), "");
}

// ---- golden bytes ---------------------------------------------------------------------------------------------------

bool same(std::string_view a, std::string_view b) { return a == b; }
bool same(Bytes a, Bytes b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }
bool same(Table a, Table b) { return same(a.bytes, b.bytes); }
template <class T>
bool same(Reserved<T>, Reserved<T>) {
  return true;
}
template <class T>
requires std::is_integral_v<T>
bool same(T a, T b) { return a == b; }

template <class M>
bool same_method(const M& a, const M& b) {
  return [&]<size_t... i>(std::index_sequence<i...>) {
    [[maybe_unused]] auto x = M::fields(a);
    [[maybe_unused]] auto y = M::fields(b);
    return (same(std::get<i>(x), std::get<i>(y)) && ... && true);
  }
  (std::make_index_sequence<std::tuple_size_v<detail::FieldsOf<M>>>{});
}

const std::vector<uint8_t> table_bytes = from_hex("016e 49 00000007");  // {n: 7}
const Table table{table_bytes};

// A method and its bytes, with what the tests do to it behind one type: 66 methods times every test is much to compile.
struct Golden {
  uint32_t id;
  std::string_view name;
  std::vector<uint8_t> payload;
  std::function<void(Writer&)> emit, emit_frame;
  std::function<bool(Bytes)> parses_to_it;
  std::function<std::optional<Error>(Bytes)> error;
};

template <class M>
Golden golden(const M& method, std::string_view hex) {
  return {.id = M::id,
          .name = M::name,
          .payload = from_hex(hex),
          .emit = [method](Writer& out) { wire::emit(out, method); },
          .emit_frame = [method](Writer& out) { emit_method_frame(out, 1, method); },
          .parses_to_it =
              [method](Bytes payload) {
                auto parsed = parse<M>(payload);
                return parsed && same_method(*parsed, method);
              },
          .error = [](Bytes payload) -> std::optional<Error> {
            auto parsed = parse<M>(payload);
            if (parsed) return {};
            return parsed.error();
          }};
}

// Every method with a value of its own in every field, beside the bytes that another implementation (pika 1.2, and by
// hand where it knows no such method) makes of it.
std::vector<Golden> all_golden() {
  std::vector<Golden> all;
  auto expect = [&](const auto& method, std::string_view hex) { all.push_back(golden(method, hex)); };
  expect(connection::Start{.version_major = 1,
                           .version_minor = 2,
                           .server_properties = table,
                           .mechanisms = base::as_bytes("mec"),
                           .locales = base::as_bytes("loc")},
         "000a000a 01 02 00000007016e4900000007 00000003 6d6563 00000003 6c6f63");
  expect(
      connection::StartOk{
          .client_properties = table, .mechanism = "mec", .response = base::as_bytes("res"), .locale = "loc"},
      "000a000b 00000007016e4900000007 036d6563 00000003726573 036c6f63");
  expect(connection::Secure{.challenge = base::as_bytes("cha")}, "000a0014 00000003636861");
  expect(connection::SecureOk{.response = base::as_bytes("res")}, "000a0015 00000003726573");
  expect(connection::Tune{.channel_max = 257, .frame_max = 16909058, .heartbeat = 771}, "000a001e 0101 01020302 0303");
  expect(connection::TuneOk{.channel_max = 257, .frame_max = 16909058, .heartbeat = 771},
         "000a001f 0101 01020302 0303");
  expect(connection::Open{.virtual_host = "vir"}, "000a0028 03766972 00 00");
  expect(connection::OpenOk{}, "000a0029 00");
  expect(connection::Close{.reply_code = 257, .reply_text = "rep", .class_id = 771, .method_id = 1028},
         "000a0032 0101 03726570 0303 0404");
  expect(connection::CloseOk{}, "000a0033");
  expect(connection::Blocked{.reason = "rea"}, "000a003c 03726561");
  expect(connection::Unblocked{}, "000a003d");
  expect(connection::UpdateSecret{.new_secret = base::as_bytes("sec"), .reason = "rea"},
         "000a0046 00000003736563 03726561");
  expect(connection::UpdateSecretOk{}, "000a0047");

  expect(channel::Open{}, "0014000a 00");
  expect(channel::OpenOk{}, "0014000b 00000000");
  expect(channel::Flow{.active = true}, "00140014 01");
  expect(channel::FlowOk{.active = true}, "00140015 01");
  expect(channel::Close{.reply_code = 257, .reply_text = "rep", .class_id = 771, .method_id = 1028},
         "00140028 0101 03726570 0303 0404");
  expect(channel::CloseOk{}, "00140029");

  expect(access::Request{.realm = "rea", .passive = true, .write = true}, "001e000a 03726561 0a");
  expect(access::RequestOk{.ticket = 1}, "001e000b 0001");

  expect(exchange::Declare{.exchange = "exc", .type = "typ", .durable = true, .internal = true, .arguments = table},
         "0028000a 0000 03657863 03747970 0a 00000007016e4900000007");
  expect(exchange::Declare{.passive = true, .auto_delete = true, .no_wait = true}, "0028000a 0000 00 00 15 00000000");
  expect(exchange::DeclareOk{}, "0028000b");
  expect(exchange::Delete{.exchange = "exc", .if_unused = true}, "00280014 0000 03657863 01");
  expect(exchange::DeleteOk{}, "00280015");
  expect(
      exchange::Bind{.destination = "des", .source = "sou", .routing_key = "rou", .no_wait = true, .arguments = table},
      "0028001e 0000 03646573 03736f75 03726f75 01 00000007016e4900000007");
  expect(exchange::BindOk{}, "0028001f");
  expect(
      exchange::Unbind{
          .destination = "des", .source = "sou", .routing_key = "rou", .no_wait = true, .arguments = table},
      "00280028 0000 03646573 03736f75 03726f75 01 00000007016e4900000007");
  expect(exchange::UnbindOk{}, "00280033");

  expect(queue::Declare{.queue = "que", .passive = true, .exclusive = true, .no_wait = true, .arguments = table},
         "0032000a 0000 03717565 15 00000007016e4900000007");
  expect(queue::Declare{.durable = true, .auto_delete = true}, "0032000a 0000 00 0a 00000000");
  expect(queue::DeclareOk{.queue = "que", .message_count = 16909058, .consumer_count = 16909059},
         "0032000b 03717565 01020302 01020303");
  expect(queue::Bind{.queue = "que", .exchange = "exc", .routing_key = "rou", .no_wait = true, .arguments = table},
         "00320014 0000 03717565 03657863 03726f75 01 00000007016e4900000007");
  expect(queue::BindOk{}, "00320015");
  expect(queue::Purge{.queue = "que", .no_wait = true}, "0032001e 0000 03717565 01");
  expect(queue::PurgeOk{.message_count = 16909057}, "0032001f 01020301");
  expect(queue::Delete{.queue = "que", .if_unused = true, .no_wait = true}, "00320028 0000 03717565 05");
  expect(queue::Delete{.queue = "que", .if_empty = true}, "00320028 0000 03717565 02");
  expect(queue::DeleteOk{.message_count = 16909057}, "00320029 01020301");
  expect(queue::Unbind{.queue = "que", .exchange = "exc", .routing_key = "rou", .arguments = table},
         "00320032 0000 03717565 03657863 03726f75 00000007016e4900000007");
  expect(queue::UnbindOk{}, "00320033");

  expect(basic::Qos{.prefetch_size = 16909057, .prefetch_count = 514, .global = true}, "003c000a 01020301 0202 01");
  expect(basic::QosOk{}, "003c000b");
  expect(basic::Consume{.queue = "que", .consumer_tag = "con", .no_ack = true, .no_wait = true, .arguments = table},
         "003c0014 0000 03717565 03636f6e 0a 00000007016e4900000007");
  expect(basic::Consume{.no_local = true, .exclusive = true}, "003c0014 0000 00 00 05 00000000");
  expect(basic::ConsumeOk{.consumer_tag = "con"}, "003c0015 03636f6e");
  expect(basic::Cancel{.consumer_tag = "con"}, "003c001e 03636f6e 00");
  expect(basic::Cancel{.consumer_tag = "con", .no_wait = true}, "003c001e 03636f6e 01");
  expect(basic::CancelOk{.consumer_tag = "con"}, "003c001f 03636f6e");
  expect(basic::Publish{.exchange = "exc", .routing_key = "rou", .immediate = true},
         "003c0028 0000 03657863 03726f75 02");
  expect(basic::Publish{.exchange = "exc", .routing_key = "rou", .mandatory = true},
         "003c0028 0000 03657863 03726f75 01");
  expect(basic::Return{.reply_code = 257, .reply_text = "rep", .exchange = "exc", .routing_key = "rou"},
         "003c0032 0101 03726570 03657863 03726f75");
  expect(basic::Deliver{.consumer_tag = "con",
                        .delivery_tag = 16909058,
                        .redelivered = true,
                        .exchange = "exc",
                        .routing_key = "rou"},
         "003c003c 03636f6e 0000000001020302 01 03657863 03726f75");
  expect(basic::Get{.queue = "que", .no_ack = true}, "003c0046 0000 03717565 01");
  expect(basic::GetOk{.delivery_tag = 16909057,
                      .redelivered = true,
                      .exchange = "exc",
                      .routing_key = "rou",
                      .message_count = 16909061},
         "003c0047 0000000001020301 01 03657863 03726f75 01020305");
  expect(basic::GetEmpty{}, "003c0048 00");
  expect(basic::Ack{.delivery_tag = 16909057, .multiple = true}, "003c0050 0000000001020301 01");
  expect(basic::Reject{.delivery_tag = 16909057, .requeue = true}, "003c005a 0000000001020301 01");
  expect(basic::RecoverAsync{.requeue = true}, "003c0064 01");
  expect(basic::Recover{.requeue = true}, "003c006e 01");
  expect(basic::RecoverOk{}, "003c006f");
  expect(basic::Nack{.delivery_tag = 16909057, .requeue = true}, "003c0078 0000000001020301 02");
  expect(basic::Nack{.delivery_tag = 16909057, .multiple = true}, "003c0078 0000000001020301 01");

  expect(confirm::Select{.no_wait = true}, "0055000a 01");
  expect(confirm::SelectOk{}, "0055000b");

  expect(tx::Select{}, "005a000a");
  expect(tx::SelectOk{}, "005a000b");
  expect(tx::Commit{}, "005a0014");
  expect(tx::CommitOk{}, "005a0015");
  expect(tx::Rollback{}, "005a001e");
  expect(tx::RollbackOk{}, "005a001f");

  return all;
}

TEST(WireMethods, EmitTheirGoldenBytes) {
  for (const Golden& method : all_golden()) EXPECT_EQ(emitted(method.emit), to_hex(method.payload)) << method.name;
}

TEST(WireMethods, ParseTheirGoldenBytes) {
  for (const Golden& method : all_golden()) {
    EXPECT_EQ(load_method_id(method.payload), method.id);
    EXPECT_TRUE(method.parses_to_it(method.payload)) << method.name;
    EXPECT_TRUE(check_method(method.payload)) << method.name;
    uint32_t visited = 0;
    EXPECT_TRUE(visit_method(method.payload, [&]<class M>(const M&) { visited = M::id; }));
    EXPECT_EQ(visited, method.id) << method.name;
  }
}

TEST(WireMethods, EveryMethodHasGoldenBytes) {
  std::set<uint32_t> seen;
  for (const Golden& method : all_golden()) seen.insert(method.id);
  EXPECT_EQ(seen.size(), Methods::size);
  EXPECT_EQ(seen.size(), 66u);
}

TEST(WireMethods, CutShortAnywhereAreRefused) {
  for (const Golden& method : all_golden()) {
    for (size_t length = 0; length < method.payload.size(); length++) {
      // A buffer of its own, so that a sanitizer sees any octet read beyond it.
      std::vector<uint8_t> cut(method.payload.begin(), method.payload.begin() + static_cast<ptrdiff_t>(length));
      auto error = method.error(cut);
      ASSERT_TRUE(error) << method.name << " cut to " << length;
      EXPECT_EQ(*error, (Error{ReplyCode::frame_error, class_of(method.id), method_of(method.id), error->text}));
      EXPECT_FALSE(check_method(cut)) << method.name << " cut to " << length;
    }
  }
}

TEST(WireMethods, FollowedByAnythingAreRefused) {
  for (Golden& method : all_golden()) {
    method.payload.push_back(0);
    EXPECT_TRUE(method.error(method.payload)) << method.name;
  }
}

TEST(WireMethods, DoNotEmitWhereTheyDoNotFit) {
  for (const Golden& method : all_golden()) {
    size_t whole = method.payload.size() + frame_overhead;
    for (size_t room = 0; room <= whole; room++) {
      std::vector<uint8_t> space(room);
      Writer out(space);
      method.emit_frame(out);
      EXPECT_EQ(out.ok(), room == whole) << method.name << " into " << room;
    }
  }
}

// ---- what peers get wrong -------------------------------------------------------------------------------------------

TEST(WireMethods, UnusedBitsAndReservedFieldsAreIgnored) {
  auto publish = parse<basic::Publish>(from_hex("003c0028 1234 00 00 fd"));
  ASSERT_TRUE(publish);
  EXPECT_TRUE(publish->mandatory);
  EXPECT_FALSE(publish->immediate);
  EXPECT_TRUE(parse<connection::Open>(from_hex("000a0028 012f 0178 ff")));
}

TEST(WireMethods, AShortStringThatIsNotUtf8Is501) {
  for (std::string_view payload :
       {"003c0028 0000 01ff 00 00", "003c0028 0000 00 02c328 00", "003c0028 0000 00 03eda080 00"}) {
    auto publish = parse<basic::Publish>(from_hex(payload));
    ASSERT_FALSE(publish);
    EXPECT_EQ(publish.error(), (Error{ReplyCode::frame_error, 60, 40, "Malformed UTF-8 in shortstr"}));
  }
  auto bytes = from_hex("003c0028 0000 03e282ac 00 00");
  auto publish = parse<basic::Publish>(bytes);
  ASSERT_TRUE(publish);
  EXPECT_EQ(publish->exchange, "€");
}

TEST(WireMethods, LongStringsHoldAnyOctets) {
  auto bytes = from_hex("000a0015 00000004 00ff80c3");
  auto secure_ok = parse<connection::SecureOk>(bytes);
  ASSERT_TRUE(secure_ok);
  EXPECT_EQ(to_hex(secure_ok->response), "00ff80c3");
}

TEST(WireMethods, LengthsBeyondTheFrameAreRefused) {
  EXPECT_FALSE(check_method(from_hex("000a0015 ffffffff 00")));
  EXPECT_FALSE(check_method(from_hex("0032000a 0000 00 00 ffffffff")));
  EXPECT_FALSE(check_method(from_hex("003c0028 0000 ff 00 00")));
}

TEST(WireMethods, ThatNobodyKnowsAre503) {
  auto method = check_method(from_hex("003c0029"));
  ASSERT_FALSE(method);
  EXPECT_EQ(method.error(), (Error{ReplyCode::command_invalid, 60, 41, "unknown method"}));
  EXPECT_EQ(check_method(from_hex("00280029")).error().code, ReplyCode::command_invalid);  // unbind-ok is 51
  EXPECT_EQ(check_method(from_hex("003c00")).error().code, ReplyCode::frame_error);
  EXPECT_EQ(load_method_id(from_hex("003c00")), 0u);
}

TEST(WireMethods, AreNotParsedAsAnother) { EXPECT_FALSE(parse<tx::Commit>(from_hex("005a001e"))); }

TEST(WireMethods, FrameWrapsTheMethod) {
  EXPECT_EQ(emitted([](Writer& out) {
              emit_method_frame(out, 1,
                                basic::Deliver{.consumer_tag = "ctag",
                                               .delivery_tag = 7,
                                               .redelivered = true,
                                               .exchange = "ex",
                                               .routing_key = "key"});
            }),
            packed("01 0001 00000019 003c003c 0463746167 0000000000000007 01 026578 036b6579 ce"));
}

TEST(WireMethodsDeathTest, EmittingANameTooLongIsABugOfOurs) {
  std::string name(256, 'q');
  EXPECT_DEATH(emitted([&](Writer& out) { emit(out, queue::DeclareOk{.queue = name}); }), "shortstr_max");
}

}  // namespace
}  // namespace talaria::amqp091::wire
