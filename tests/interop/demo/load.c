// The C part of `make demo`, on rabbitmq-c; prints one row.
//
//   load stream SECONDS SIZE TITLE    a child process publishes as fast as it goes, this one consumes, without
//   acknowledgements load ping   SECONDS SIZE TITLE    one message at a time, there and back: what a single message
//   waits for
//
// Every body begins with the time it was published at.
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char queue_name[64];

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fail(const char* what) {
  fprintf(stderr, "load: %s\n", what);
  exit(1);
}

static amqp_connection_state_t open_connection(void) {
  amqp_connection_state_t connection = amqp_new_connection();
  if (amqp_socket_open(amqp_tcp_socket_new(connection), getenv("TALARIA_HOST"), atoi(getenv("TALARIA_PORT"))))
    fail("no connection");
  amqp_rpc_reply_t reply = amqp_login(connection, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
  if (reply.reply_type != AMQP_RESPONSE_NORMAL) fail("no login");
  amqp_channel_open(connection, 1);
  return connection;
}

static int publish(amqp_connection_state_t connection, char* body, size_t size) {
  uint64_t now = now_ns();
  memcpy(body, &now, sizeof now);
  return amqp_basic_publish(connection, 1, amqp_empty_bytes, amqp_cstring_bytes(queue_name), 0, 0, NULL,
                            (amqp_bytes_t){size, body});
}

// Publishes until `until`, then one message whose time is zero, and waits for the answer to a declare: all has been
// read.
static void publish_stream(uint64_t until, char* body, size_t size) {
  amqp_connection_state_t connection = open_connection();
  while (now_ns() < until)
    for (int i = 0; i < 64; ++i)
      if (publish(connection, body, size)) fail("publish failed");
  memset(body, 0, size);
  amqp_basic_publish(connection, 1, amqp_empty_bytes, amqp_cstring_bytes(queue_name), 0, 0, NULL,
                     (amqp_bytes_t){size, body});
  amqp_queue_declare(connection, 1, amqp_cstring_bytes(queue_name), 1, 0, 0, 0, amqp_empty_table);
  amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
  exit(0);
}

static int smaller(const void* left, const void* right) {
  uint32_t a = *(const uint32_t*)left, b = *(const uint32_t*)right;
  return (a > b) - (a < b);
}

int main(int count, char** arguments) {
  if (count != 5) fail("see the head of load.c");
  int ping = strcmp(arguments[1], "ping") == 0;
  double seconds = atof(arguments[2]);
  size_t size = strtoul(arguments[3], NULL, 10);
  if (size < sizeof(uint64_t)) size = sizeof(uint64_t);
  char* body = calloc(1, size);
  enum { latencies_max = 20000000 };
  uint32_t* latencies = malloc(latencies_max * sizeof *latencies);
  size_t received = 0;

  snprintf(queue_name, sizeof queue_name, "demo-c-%d", getpid());
  amqp_connection_state_t connection = open_connection();
  amqp_queue_declare(connection, 1, amqp_cstring_bytes(queue_name), 0, 0, 0, 0, amqp_empty_table);
  amqp_basic_consume(connection, 1, amqp_cstring_bytes(queue_name), amqp_empty_bytes, 0, 1, 0, amqp_empty_table);

  uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9), last = start;
  pid_t child = ping ? 0 : fork();
  if (!ping && child == 0) publish_stream(end, body, size);
  if (ping) publish(connection, body, size);
  for (;;) {
    amqp_envelope_t envelope;
    struct timeval limit = {20, 0};
    amqp_maybe_release_buffers(connection);
    if (amqp_consume_message(connection, &envelope, &limit, 0).reply_type != AMQP_RESPONSE_NORMAL)
      fail("a message is missing");
    uint64_t sent;
    memcpy(&sent, envelope.message.body.bytes, sizeof sent);
    amqp_destroy_envelope(&envelope);
    if (sent == 0) break;
    last = now_ns();
    if (received < latencies_max) latencies[received++] = (uint32_t)((last - sent) / 1000);
    if (ping) {
      if (last >= end) break;
      publish(connection, body, size);
    }
  }
  int status = 0;
  if (!ping && (waitpid(child, &status, 0) != child || status != 0)) fail("the publisher failed");
  amqp_queue_delete(connection, 1, amqp_cstring_bytes(queue_name), 0, 0);
  amqp_connection_close(connection, AMQP_REPLY_SUCCESS);

  qsort(latencies, received, sizeof *latencies, smaller);
  double rate = (double)received / ((double)(last - start) / 1e9);
  printf("%s|%zu|%.0f|%.0f|%u|%u|%u\n", arguments[4], received, rate, rate, latencies[received / 2],
         latencies[received * 99 / 100], latencies[received - 1]);
  return 0;
}
