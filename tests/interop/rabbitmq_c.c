/* rabbitmq-c, the C library below amqp-tools and php's old client, against the broker at TALARIA_HOST.
 *
 * Checks are printed as TAP, one line each. Every wait has a bound. */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int checks, failed;
static const char* host;
static int port;

static void ok(bool holds, const char* what) {
  printf("%sok %d - %s\n", holds ? "" : "not ", ++checks, what);
  fflush(stdout);
  if (!holds) ++failed;
}

static amqp_connection_state_t connect_broker(void) {
  amqp_connection_state_t connection = amqp_new_connection();
  struct timeval limit = {10, 0};
  if (amqp_socket_open_noblock(amqp_tcp_socket_new(connection), host, port, &limit) != AMQP_STATUS_OK) {
    ok(false, "the broker is reached");
    exit(1);
  }
  amqp_set_rpc_timeout(connection, &limit);
  return connection;
}

static amqp_rpc_reply_t login(amqp_connection_state_t connection, const char* vhost, const char* password) {
  return amqp_login(connection, vhost, 0, 131072, 30, AMQP_SASL_METHOD_PLAIN, "guest", password);
}

static amqp_connection_state_t open_connection(void) {
  amqp_connection_state_t connection = connect_broker();
  if (login(connection, "/", "guest").reply_type != AMQP_RESPONSE_NORMAL) {
    ok(false, "login");
    exit(1);
  }
  amqp_channel_open(connection, 1);
  return connection;
}

static void close_connection(amqp_connection_state_t connection) {
  amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
  amqp_destroy_connection(connection);
}

/* The code of the channel.close or connection.close that came as the answer; 0 when there was none. */
static int code_of(amqp_rpc_reply_t reply) {
  if (reply.reply_type != AMQP_RESPONSE_SERVER_EXCEPTION) return 0;
  if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) return ((amqp_channel_close_t*)reply.reply.decoded)->reply_code;
  if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD)
    return ((amqp_connection_close_t*)reply.reply.decoded)->reply_code;
  return 0;
}

static void expect_code(amqp_connection_state_t connection, int code, const char* what) {
  int got = code_of(amqp_get_rpc_reply(connection));
  ok(got == code, what);
  if (got != code) printf("# got %d\n", got);
  /* The channel is closed: answer, and open it anew for the next. */
  amqp_channel_close_ok_t close_ok = {0};
  amqp_send_method(connection, 1, AMQP_CHANNEL_CLOSE_OK_METHOD, &close_ok);
  amqp_channel_open(connection, 1);
}

/* The next method on the connection, within 5 s; anything that carries content is left for the caller to read. */
static amqp_method_number_t next_method(amqp_connection_state_t connection, amqp_frame_t* frame) {
  struct timeval limit = {5, 0};
  if (amqp_simple_wait_frame_noblock(connection, frame, &limit) != AMQP_STATUS_OK) return 0;
  return frame->frame_type == AMQP_FRAME_METHOD ? frame->payload.method.id : 0;
}

static bool publish_confirmed(amqp_connection_state_t connection, const char* exchange, const char* key,
                              const amqp_basic_properties_t* properties, amqp_bytes_t body) {
  amqp_frame_t frame;
  if (amqp_basic_publish(connection, 1, amqp_cstring_bytes(exchange), amqp_cstring_bytes(key), 0, 0, properties, body))
    return false;
  return next_method(connection, &frame) == AMQP_BASIC_ACK_METHOD;
}

/* basic.get: true when a message came; `message` is then the caller's to destroy. */
static bool get(amqp_connection_state_t connection, amqp_bytes_t queue, bool no_ack, uint64_t* tag, bool* redelivered,
                amqp_message_t* message) {
  amqp_rpc_reply_t reply = amqp_basic_get(connection, 1, queue, no_ack);
  if (reply.reply_type != AMQP_RESPONSE_NORMAL || reply.reply.id != AMQP_BASIC_GET_OK_METHOD) return false;
  amqp_basic_get_ok_t* get_ok = reply.reply.decoded;
  if (tag) *tag = get_ok->delivery_tag;
  if (redelivered) *redelivered = get_ok->redelivered;
  return amqp_read_message(connection, 1, message, 0).reply_type == AMQP_RESPONSE_NORMAL;
}

static void publish_consume_get(void) {
  amqp_connection_state_t connection = open_connection();
  amqp_queue_declare_ok_t* declared = amqp_queue_declare(connection, 1, amqp_empty_bytes, 0, 0, 1, 0, amqp_empty_table);
  ok(declared && declared->queue.len > 0, "declare of a queue that the server names");
  amqp_bytes_t queue = amqp_bytes_malloc_dup(declared->queue);
  char name[256] = {0};
  memcpy(name, queue.bytes, queue.len);
  amqp_confirm_select(connection, 1);

  amqp_table_entry_t header = {amqp_cstring_bytes("number"), {AMQP_FIELD_KIND_I64, {.i64 = -5000000000}}};
  amqp_basic_properties_t properties = {
      ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_PRIORITY_FLAG,
      .content_type = amqp_cstring_bytes("text/plain"),
      .headers = {1, &header},
      .priority = 4};
  ok(publish_confirmed(connection, "", name, &properties, amqp_cstring_bytes("hello")), "publish, confirmed");

  uint64_t tag = 0;
  bool redelivered = true;
  amqp_message_t message;
  ok(get(connection, queue, false, &tag, &redelivered, &message) && message.body.len == 5 && !redelivered, "get");
  ok(message.properties._flags == properties._flags && message.properties.priority == 4 &&
         message.properties.headers.num_entries == 1 &&
         message.properties.headers.entries[0].value.value.i64 == -5000000000,
     "get: properties and headers as they were sent");
  amqp_destroy_message(&message);
  amqp_basic_nack(connection, 1, tag, 0, 1);
  ok(get(connection, queue, false, &tag, &redelivered, &message) && redelivered, "nack with requeue: redelivered");
  amqp_destroy_message(&message);
  amqp_basic_reject(connection, 1, tag, 0);
  ok(!get(connection, queue, true, NULL, NULL, &message), "reject without requeue: gone");

  size_t large_size = 400000;
  char* large = malloc(large_size);
  for (size_t i = 0; i < large_size; ++i) large[i] = (char)(i * 7);
  amqp_bytes_t large_body = {large_size, large};
  ok(publish_confirmed(connection, "", name, NULL, large_body), "publish of 400000 bytes, confirmed");
  ok(get(connection, queue, true, NULL, NULL, &message) && message.body.len == large_size &&
         memcmp(message.body.bytes, large, large_size) == 0,
     "get of 400000 bytes");
  amqp_destroy_message(&message);
  free(large);

  enum { count = 1000 };
  int confirmed = 0;
  for (int i = 0; i < count; ++i) {
    char body[16];
    snprintf(body, sizeof body, "%d", i);
    amqp_basic_publish(connection, 1, amqp_empty_bytes, queue, 0, 0, NULL, amqp_cstring_bytes(body));
  }
  while (confirmed < count) {
    amqp_frame_t frame;
    if (next_method(connection, &frame) != AMQP_BASIC_ACK_METHOD) break;
    amqp_basic_ack_t* ack = frame.payload.method.decoded;
    confirmed = ack->multiple ? (int)ack->delivery_tag - 2 : confirmed + 1; /* two publishes came before these */
  }
  ok(confirmed == count, "1000 publishes at once, all confirmed");

  amqp_basic_qos(connection, 1, 0, 50, 0);
  amqp_basic_consume(connection, 1, queue, amqp_cstring_bytes("reader"), 0, 0, 0, amqp_empty_table);
  int in_order = 0;
  for (int i = 0; i < count; ++i) {
    amqp_envelope_t envelope;
    struct timeval limit = {5, 0};
    amqp_maybe_release_buffers(connection);
    if (amqp_consume_message(connection, &envelope, &limit, 0).reply_type != AMQP_RESPONSE_NORMAL) break;
    char expected[16];
    int length = snprintf(expected, sizeof expected, "%d", i);
    in_order += envelope.message.body.len == (size_t)length &&
                memcmp(envelope.message.body.bytes, expected, (size_t)length) == 0;
    if (i % 10 == 9) amqp_basic_ack(connection, 1, envelope.delivery_tag, 1);
    amqp_destroy_envelope(&envelope);
  }
  ok(in_order == count, "1000 deliveries in order, acknowledged by tens");
  amqp_basic_cancel(connection, 1, amqp_cstring_bytes("reader"));
  amqp_queue_purge_ok_t* purged = amqp_queue_purge(connection, 1, queue);
  ok(purged && purged->message_count == 0, "purge: nothing was left");
  amqp_queue_delete(connection, 1, queue, 0, 0);
  ok(amqp_get_rpc_reply(connection).reply_type == AMQP_RESPONSE_NORMAL, "delete");
  amqp_bytes_free(queue);
  close_connection(connection);
}

static void exchanges(void) {
  static const struct {
    const char *type, *bound, *fits, *other;
  } kinds[] = {
      {"direct", "a", "a", "b"}, {"topic", "a.*", "a.b", "a.b.c"}, {"fanout", "", "x", NULL}, {"headers", "", "", ""}};
  amqp_connection_state_t connection = open_connection();
  amqp_confirm_select(connection, 1);
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; ++i) {
    char exchange[64], what[96];
    snprintf(exchange, sizeof exchange, "interop-c-%d-%s", getpid(), kinds[i].type);
    bool headers = strcmp(kinds[i].type, "headers") == 0;
    amqp_table_entry_t match[] = {
        {amqp_cstring_bytes("x-match"), {AMQP_FIELD_KIND_UTF8, {.bytes = amqp_cstring_bytes("all")}}},
        {amqp_cstring_bytes("size"), {AMQP_FIELD_KIND_I32, {.i32 = 3}}}};
    amqp_table_t arguments = {headers ? 2 : 0, match};
    amqp_exchange_declare(connection, 1, amqp_cstring_bytes(exchange), amqp_cstring_bytes(kinds[i].type), 0, 0, 0, 0,
                          amqp_empty_table);
    amqp_bytes_t queue =
        amqp_bytes_malloc_dup(amqp_queue_declare(connection, 1, amqp_empty_bytes, 0, 0, 1, 1, amqp_empty_table)->queue);
    amqp_queue_bind(connection, 1, queue, amqp_cstring_bytes(exchange), amqp_cstring_bytes(kinds[i].bound), arguments);
    amqp_table_entry_t sent = {amqp_cstring_bytes("size"), {AMQP_FIELD_KIND_I32, {.i32 = 3}}};
    amqp_basic_properties_t properties = {._flags = headers ? AMQP_BASIC_HEADERS_FLAG : 0, .headers = {1, &sent}};
    bool confirmed = publish_confirmed(connection, exchange, kinds[i].fits, &properties, amqp_cstring_bytes("m"));
    if (kinds[i].other) {
      sent.value.value.i32 = 4;
      confirmed &= publish_confirmed(connection, exchange, kinds[i].other, &properties, amqp_cstring_bytes("m"));
    }
    amqp_queue_declare_ok_t* declared = amqp_queue_declare(connection, 1, queue, 1, 0, 1, 1, amqp_empty_table);
    snprintf(what, sizeof what, "%s exchange: what fits arrives, once", kinds[i].type);
    ok(confirmed && declared && declared->message_count == 1, what);
    amqp_queue_delete(connection, 1, queue, 0, 0);
    amqp_exchange_delete(connection, 1, amqp_cstring_bytes(exchange), 0);
    amqp_bytes_free(queue);
  }

  amqp_frame_t frame;
  amqp_basic_publish(connection, 1, amqp_cstring_bytes("amq.direct"), amqp_cstring_bytes("interop-nobody"), 1, 0, NULL,
                     amqp_cstring_bytes("back"));
  bool returned = next_method(connection, &frame) == AMQP_BASIC_RETURN_METHOD &&
                  ((amqp_basic_return_t*)frame.payload.method.decoded)->reply_code == 312;
  amqp_message_t message;
  returned = returned && amqp_read_message(connection, 1, &message, 0).reply_type == AMQP_RESPONSE_NORMAL &&
             message.body.len == 4;
  if (returned) amqp_destroy_message(&message);
  ok(returned, "mandatory without a route comes back whole, 312");
  ok(next_method(connection, &frame) == AMQP_BASIC_ACK_METHOD, "and is then confirmed");
  close_connection(connection);
}

static void errors(void) {
  amqp_connection_state_t connection = open_connection();
  amqp_bytes_t missing = amqp_cstring_bytes("interop-c-missing");
  amqp_queue_declare(connection, 1, missing, 1, 0, 0, 0, amqp_empty_table);
  expect_code(connection, 404, "404: passive declare of a missing queue");
  amqp_basic_consume(connection, 1, missing, amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
  expect_code(connection, 404, "404: consume from a missing queue");
  amqp_exchange_declare(connection, 1, amqp_cstring_bytes("amq.topic"), amqp_cstring_bytes("direct"), 0, 1, 0, 0,
                        amqp_empty_table);
  expect_code(connection, 406, "406: redeclare of amq.topic as direct");
  amqp_exchange_declare(connection, 1, missing, amqp_cstring_bytes("direct"), 1, 0, 0, 0, amqp_empty_table);
  expect_code(connection, 404, "404: passive declare of a missing exchange");
  amqp_queue_declare(connection, 1, amqp_cstring_bytes("amq.reserved"), 0, 0, 0, 0, amqp_empty_table);
  expect_code(connection, 403, "403: declare of a reserved name");

  amqp_connection_state_t owner = open_connection();
  amqp_bytes_t exclusive =
      amqp_bytes_malloc_dup(amqp_queue_declare(owner, 1, amqp_empty_bytes, 0, 0, 1, 0, amqp_empty_table)->queue);
  amqp_queue_purge(connection, 1, exclusive);
  expect_code(connection, 405, "405: purge of another connection's exclusive queue");
  amqp_bytes_free(exclusive);
  close_connection(owner);

  amqp_queue_declare(connection, 1, amqp_empty_bytes, 0, 0, 1, 1, amqp_empty_table);
  ok(amqp_get_rpc_reply(connection).reply_type == AMQP_RESPONSE_NORMAL, "the connection outlives all these channels");
  close_connection(connection);

  connection = connect_broker();
  ok(code_of(login(connection, "/", "wrong")) == 403, "403: a wrong password");
  amqp_destroy_connection(connection);
  connection = connect_broker();
  ok(code_of(login(connection, "no-such-vhost", "guest")) == 530, "530: a missing vhost");
  amqp_destroy_connection(connection);
}

int main(void) {
  host = getenv("TALARIA_HOST");
  port = atoi(getenv("TALARIA_PORT"));
  publish_consume_get();
  exchanges();
  errors();
  printf("1..%d\n", checks);
  return failed != 0;
}
