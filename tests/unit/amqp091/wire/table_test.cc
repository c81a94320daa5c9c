#include "core/amqp091/wire/table.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <limits>
#include <string>
#include <vector>

#include "tests/unit/amqp091/wire/hex.h"

namespace talaria::amqp091::wire {
namespace {

using base::ByteArray;
using base::Decimal;
using base::Field;
using base::FieldArray;
using base::FieldKind;
using base::FieldTable;
using base::HeaderView;
using base::Timestamp;
using base::Void;
using testing::emitted;
using testing::from_hex;
using testing::packed;
using testing::to_hex;

FieldTable decoded(std::string_view hex) {
  auto bytes = from_hex(hex);
  auto table = decode_table(Table{bytes});
  EXPECT_TRUE(table) << hex;
  return table ? *table : FieldTable{};
}

// The only value of a table of one entry, `a`.
template <class T>
T value_of(std::string_view value_hex) {
  FieldTable table = decoded("0161" + std::string(value_hex));
  EXPECT_EQ(table.size(), 1u);
  EXPECT_EQ(table.at(0).name, "a");
  const T* value = std::get_if<T>(&table.at(0).value.value);
  EXPECT_NE(value, nullptr) << value_hex;
  return value ? *value : T{};
}

TEST(WireTable, EveryLetterDecodesToItsType) {
  EXPECT_EQ(value_of<bool>("74 01"), true);
  EXPECT_EQ(value_of<bool>("74 00"), false);
  EXPECT_EQ(value_of<int8_t>("62 80"), -128);
  EXPECT_EQ(value_of<uint8_t>("42 80"), 128);
  EXPECT_EQ(value_of<int16_t>("73 8000"), -32768);
  EXPECT_EQ(value_of<uint16_t>("75 8000"), 32768);
  EXPECT_EQ(value_of<int32_t>("49 ffffffff"), -1);
  EXPECT_EQ(value_of<uint32_t>("69 ffffffff"), 4294967295u);
  EXPECT_EQ(value_of<int64_t>("6c 8000000000000000"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(value_of<int64_t>("4c fffffffffffffffe"), -2);
  EXPECT_EQ(value_of<float>("66 3fc00000"), 1.5f);
  EXPECT_EQ(value_of<double>("64 bff8000000000000"), -1.5);
  EXPECT_EQ(value_of<Decimal>("44 02 0000013a"), (Decimal{2, 314}));
  EXPECT_EQ(value_of<std::string>("53 00000003 6a6f62"), "job");
  EXPECT_EQ(value_of<Timestamp>("54 00000000499602d2"), Timestamp{1234567890});
  EXPECT_EQ(value_of<ByteArray>("78 00000002 00ff"), (ByteArray{std::string("\x00\xff", 2)}));
  EXPECT_EQ(value_of<Void>("56"), Void{});
  EXPECT_EQ(value_of<FieldTable>("46 00000004 0162 7401").at(0).name, "b");
  FieldArray array = value_of<FieldArray>("41 00000007 49 00000007 74 01");
  ASSERT_EQ(array.size(), 2u);
  EXPECT_EQ(array[0].integer(), 7);
  EXPECT_EQ(*array[1].boolean(), true);
}

TEST(WireTable, NamesMayRepeatAndBeEmptyAndKeepTheirOrder) {
  FieldTable table = decoded("0162 7400 0161 7401 0162 7401 00 56");
  ASSERT_EQ(table.size(), 4u);
  EXPECT_EQ(table[0].name + table[1].name + table[2].name + table[3].name, "bab");
  EXPECT_EQ(*base::find(table, "b")->boolean(), true);
}

TEST(WireTable, TheEmptyTableIsATable) {
  EXPECT_TRUE(decoded("").empty());
  EXPECT_EQ(emitted([](Writer& out) { emit_table(out, {}); }), "00000000");
  EXPECT_EQ(table_size({}), 4u);
}

// ---- round trip -----------------------------------------------------------------------------------------------------

// One of everything, nested, the extremes of every width.
constexpr std::string_view one_of_everything =
    "0174 7401 0174 7400 0162 6280 0142 42ff 0173 738000 0175 75ffff 0149 4980000000 0169 69ffffffff "
    "016c 6c8000000000000000 016c 6c7fffffffffffffff 0166 66ff800000 0166 667fc00001 0164 647ff8000000000001 "
    "0144 44ffffffffff 0153 5300000000 0153 5300000004c3a4ff00 0178 780000000200ff 0154 54ffffffffffffffff 0156 56 "
    "0046 00000000 0046 0000000a 0161 4100000003 567400 0141 4100000000";

TEST(WireTable, RoundTripIsBitExact) {
  FieldTable table = decoded(one_of_everything);
  EXPECT_EQ(table.size(), 22u);
  std::string bytes = emitted([&](Writer& out) { emit_table(out, table); });
  EXPECT_EQ(bytes.substr(8), packed(one_of_everything));
  EXPECT_EQ(from_hex(bytes).size(), table_size(table));
  EXPECT_EQ(base::load_be32(from_hex(bytes).data()), from_hex(one_of_everything).size());
}

TEST(WireTable, TwoSpellingsAreNotKept) {
  EXPECT_EQ(emitted([](Writer& out) { emit_table(out, decoded("0161 4c 0000000000000007")); }),
            packed("0000000b 0161 6c 0000000000000007"));
  EXPECT_EQ(emitted([](Writer& out) { emit_table(out, decoded("0161 74 ff")); }), packed("00000004 0161 74 01"));
}

TEST(WireTable, UnsignedLongsSaturateForLackOfALetter) {
  FieldTable table = {{"a", Field{uint64_t{7}}}, {"b", Field{std::numeric_limits<uint64_t>::max()}}};
  EXPECT_EQ(emitted([&](Writer& out) { emit_table(out, table); }),
            packed("00000016 0161 6c 0000000000000007 0162 6c 7fffffffffffffff"));
}

TEST(WireTable, EmitsNothingPartialWhenItDoesNotFit) {
  FieldTable table = decoded(one_of_everything);
  size_t whole = table_size(table);
  for (size_t room = 0; room <= whole; room++) {
    std::vector<uint8_t> space(room);
    Writer out(space);
    emit_table(out, table);
    EXPECT_EQ(out.ok(), room == whole) << room;
  }
}

TEST(WireTable, ANameTooLongFailsTheWriter) {
  EXPECT_EQ(emitted([](Writer& out) { emit_table(out, {{std::string(256, 'n'), Field{true}}}); }), "did not fit");
  EXPECT_NE(emitted([](Writer& out) { emit_table(out, {{std::string(255, 'n'), Field{true}}}); }), "did not fit");
}

// ---- what strangers send --------------------------------------------------------------------------------------------

bool well_formed(Bytes bytes) {
  bool decodes = decode_table(Table{bytes}).has_value();
  EXPECT_EQ(validate_table(Table{bytes}).has_value(), decodes);
  return decodes;
}

TEST(WireTable, CutShortAnywhereButBetweenEntriesIsRefused) {
  auto bytes = from_hex(one_of_everything);
  size_t well_formed_cuts = 0;
  for (size_t length = 0; length <= bytes.size(); length++) {
    std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
    well_formed_cuts += well_formed(cut);
  }
  EXPECT_EQ(well_formed_cuts, 1 + 22u);  // before the first entry and after each
}

TEST(WireTable, UnknownLettersAreRefused) {
  for (unsigned letter = 0; letter < 256; letter++) {
    std::vector<uint8_t> bytes(2 + 1 + 16);
    bytes[0] = 1;
    bytes[1] = 'a';
    bytes[2] = static_cast<uint8_t>(letter);
    bool known = std::string_view("tbBsuIilLfdDSTFAxV").find(static_cast<char>(letter)) != std::string_view::npos;
    auto table = decode_table(Table{bytes});
    // A known letter leaves zeros behind it, which read as entries without a letter: refused as well, but later.
    std::array<HeaderView, 1> first;
    auto headers = parse_headers(Table{bytes}, first);
    EXPECT_EQ(headers.has_value(), known) << letter;
    EXPECT_FALSE(table.has_value()) << letter;
  }
}

TEST(WireTable, LengthsBeyondTheTableAreRefused) {
  EXPECT_FALSE(well_formed(from_hex("ff 61")));
  EXPECT_FALSE(well_formed(from_hex("0161 53 ffffffff")));
  EXPECT_FALSE(well_formed(from_hex("0161 46 00000002 0161")));
  EXPECT_FALSE(well_formed(from_hex("0161 41 00000005 49 00000007 00")));
  EXPECT_FALSE(well_formed(from_hex("0161 41 00000004 49 000007")));
}

// {a: {a: ... {} ... }} or, with `A`, {a: [[ ... ]]}: `depth` tables or arrays, one in the other.
std::vector<uint8_t> nested(char letter, unsigned depth) {
  std::vector<uint8_t> bytes;
  for (unsigned i = 1; i < depth; i++) {
    std::vector<uint8_t> outer;
    if (letter == 'F' || i + 1 == depth) outer = {1, 'a'};
    outer.push_back(static_cast<uint8_t>(letter));
    outer.resize(outer.size() + 4);
    base::store_be32(outer.data() + outer.size() - 4, static_cast<uint32_t>(bytes.size()));
    outer.insert(outer.end(), bytes.begin(), bytes.end());
    bytes = std::move(outer);
  }
  return bytes;
}

TEST(WireTable, NestingIsBounded) {
  for (char letter : {'F', 'A'}) {
    EXPECT_TRUE(well_formed(nested(letter, table_depth_max)));
    EXPECT_FALSE(well_formed(nested(letter, table_depth_max + 1)));
    EXPECT_FALSE(well_formed(nested(letter, 10'000)));
  }
  auto deepest = nested('F', table_depth_max);
  EXPECT_EQ(emitted([&](Writer& out) { emit_table(out, *decode_table(Table{deepest})); }).substr(8), to_hex(deepest));
  FieldTable too_deep = *decode_table(Table{deepest});
  too_deep = {{"a", Field{too_deep}}};
  EXPECT_EQ(emitted([&](Writer& out) { emit_table(out, too_deep); }), "did not fit");
}

// An array of one-octet voids: the cheapest way to make a decoder allocate.
std::vector<uint8_t> voids(uint32_t count) {
  std::vector<uint8_t> bytes = {1, 'a', 'A', 0, 0, 0, 0};
  base::store_be32(bytes.data() + 3, count);
  bytes.resize(bytes.size() + count, 'V');
  return bytes;
}

TEST(WireTable, DecodingIsBoundedWhereValidatingNeedsNoBound) {
  EXPECT_TRUE(decode_table(Table{voids(table_elements_max - 1)}));
  auto table = decode_table(Table{voids(table_elements_max)});
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error(), (Error{ReplyCode::syntax_error, 0, 0, "field table has too many values"}));
  EXPECT_TRUE(validate_table(Table{voids(100'000)}));
}

// ---- headers where they lie -----------------------------------------------------------------------------------------

TEST(WireHeaders, ScalarsAreDecodedAndTheRestViewed) {
  auto bytes = from_hex(
      "0174 7405 0162 62ff 0142 42ff 0173 73fffe 0175 75fffe 0149 49fffffffd 0169 69fffffffd 016c 6cfffffffffffffffc "
      "014c 4c0000000000000004 0166 663fc00000 0164 64bff8000000000000 0144 44020000013a 0153 53000000036a6f62 "
      "0178 78000000020102 0154 5400000000499602d2 0156 56 0146 46000000040162 7401 0141 4100000001 56");
  std::array<HeaderView, 18> space;
  auto headers = parse_headers(Table{bytes}, space);
  ASSERT_TRUE(headers);
  ASSERT_EQ(headers->entries.size(), 18u);
  EXPECT_TRUE(headers->complete);

  std::string names;
  for (const HeaderView& header : headers->entries) names += header.name;
  EXPECT_EQ(names, "tbBsuIilLfdDSxTVFA");

  auto expect_integer = [&](size_t i, FieldKind kind, int64_t value) {
    EXPECT_EQ(headers->entries[i].value.kind, kind) << names[i];
    EXPECT_EQ(headers->entries[i].value.integer, value) << names[i];
  };
  expect_integer(0, FieldKind::boolean, 1);
  expect_integer(1, FieldKind::integer, -1);
  expect_integer(2, FieldKind::integer, 255);
  expect_integer(3, FieldKind::integer, -2);
  expect_integer(4, FieldKind::integer, 65534);
  expect_integer(5, FieldKind::integer, -3);
  expect_integer(6, FieldKind::integer, 4294967293);
  expect_integer(7, FieldKind::integer, -4);
  expect_integer(8, FieldKind::integer, 4);
  EXPECT_EQ(headers->entries[9].value.kind, FieldKind::floating);
  EXPECT_EQ(headers->entries[9].value.floating, 1.5);
  EXPECT_EQ(headers->entries[10].value.floating, -1.5);
  expect_integer(11, FieldKind::decimal, int64_t{2} << 32 | 314);
  EXPECT_EQ(headers->entries[12].value.kind, FieldKind::text);
  EXPECT_EQ(headers->entries[12].value.bytes, "job");
  EXPECT_EQ(headers->entries[13].value.kind, FieldKind::bytes);
  EXPECT_EQ(headers->entries[13].value.bytes, "\x01\x02");
  expect_integer(14, FieldKind::timestamp, 1234567890);
  expect_integer(15, FieldKind::void_, 0);
  EXPECT_EQ(headers->entries[16].value.kind, FieldKind::table);
  EXPECT_EQ(to_hex(base::as_bytes(headers->entries[16].value.bytes)), "01627401");
  EXPECT_EQ(headers->entries[17].value.kind, FieldKind::array);
  EXPECT_EQ(headers->entries[17].value.bytes, "V");
}

TEST(WireHeaders, MatchTheFieldsABindingWasDecodedTo) {
  auto bytes = from_hex(one_of_everything);
  std::array<HeaderView, 22> space;
  auto headers = parse_headers(Table{bytes}, space);
  FieldTable table = decoded(one_of_everything);
  ASSERT_TRUE(headers && headers->entries.size() == table.size());
  for (size_t i = 0; i < table.size(); i++) {
    const FieldKind kind = headers->entries[i].value.kind;
    bool routable = kind != FieldKind::table && kind != FieldKind::array;
    bool not_a_number =
        kind == FieldKind::floating && headers->entries[i].value.floating != headers->entries[i].value.floating;
    EXPECT_EQ(base::matches(headers->entries[i].value, table[i].value), routable && !not_a_number) << i;
  }
}

TEST(WireHeaders, MoreThanThereIsRoomForAreLeftOut) {
  auto bytes = from_hex("0161 7401 0162 7401 0163 7401");
  std::array<HeaderView, 2> two;
  auto headers = parse_headers(Table{bytes}, two);
  ASSERT_TRUE(headers);
  EXPECT_EQ(headers->entries.size(), 2u);
  EXPECT_FALSE(headers->complete);
  EXPECT_EQ(headers->entries[1].name, "b");
  EXPECT_FALSE(parse_headers(Table{bytes}, {})->complete);
  EXPECT_TRUE(parse_headers(Table{}, {})->complete);
}

TEST(WireHeaders, CutShortAnywhereButBetweenEntriesIsRefused) {
  auto bytes = from_hex(one_of_everything);
  size_t well_formed_cuts = 0;
  for (size_t length = 0; length <= bytes.size(); length++) {
    std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
    std::array<HeaderView, 22> space;
    well_formed_cuts += parse_headers(Table{cut}, space).has_value();
  }
  EXPECT_EQ(well_formed_cuts, 1 + 22u);
}

}  // namespace
}  // namespace talaria::amqp091::wire
