import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AlreadyClosedException;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** The Java client against the broker at AMQP_URL. Checks are printed as TAP, one line each. */
public final class Interop {
  private interface Part {
    void run() throws Exception;
  }

  private interface Action {
    void on(Channel channel) throws Exception;
  }

  private static final String PREFIX = "interop-java-" + ProcessHandle.current().pid() + "-";
  private static int checks = 0;
  private static int failed = 0;

  private static void ok(boolean holds, String what, Object detail) {
    ++checks;
    System.out.println((holds ? "ok " : "not ok ") + checks + " - " + what);
    if (holds) return;
    ++failed;
    System.out.println("# " + String.valueOf(detail).replace("\n", "\n# "));
  }

  private static void equal(Object got, Object expected, String what) {
    ok(Objects.equals(got, expected), what, "got " + got + ", expected " + expected);
  }

  private static ConnectionFactory factory() throws Exception {
    ConnectionFactory factory = new ConnectionFactory();
    factory.setUri(System.getenv("AMQP_URL"));
    factory.setAutomaticRecoveryEnabled(false);
    factory.setConnectionTimeout(10_000);
    factory.setRequestedHeartbeat(10);
    return factory;
  }

  private static Connection connect() throws Exception {
    return factory().newConnection("interop java");
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private static String text(byte[] body) {
    return new String(body, StandardCharsets.UTF_8);
  }

  /** The reply code with which the broker closed channel or connection; 0 when it did not. */
  private static int codeOf(Throwable cause) {
    for (; cause != null; cause = cause.getCause()) {
      if (!(cause instanceof ShutdownSignalException)) continue;
      Object reason = ((ShutdownSignalException) cause).getReason();
      if (reason instanceof AMQP.Channel.Close) return ((AMQP.Channel.Close) reason).getReplyCode();
      if (reason instanceof AMQP.Connection.Close) return ((AMQP.Connection.Close) reason).getReplyCode();
    }
    return 0;
  }

  private static void publishConsumeGet() throws Exception {
    Connection connection = connect();
    Channel channel = connection.createChannel();
    channel.confirmSelect();
    String queue = channel.queueDeclare(PREFIX + "q", false, true, false, null).getQueue();
    Map<String, Object> headers = new HashMap<>();
    headers.put("int", 7);
    headers.put("long", -1L << 40);
    headers.put("double", 0.25);
    headers.put("yes", true);
    headers.put("nothing", null);
    headers.put("time", new Date(99_000));
    headers.put("list", Arrays.asList(1, 2L));
    AMQP.BasicProperties sent =
        new AMQP.BasicProperties.Builder().contentType("text/plain").deliveryMode(2).priority(3).correlationId("c").replyTo("answers")
            .expiration("60000").messageId("m").timestamp(new Date(1234567890_000L)).type("greeting").appId("interop").headers(headers).build();
    channel.basicPublish("", queue, sent, bytes("hello"));
    ok(channel.waitForConfirms(5000), "publish, confirmed", "");
    GetResponse got = channel.basicGet(queue, false);
    ok(got != null && text(got.getBody()).equals("hello") && !got.getEnvelope().isRedeliver() && got.getMessageCount() == 0, "get", got);
    equal(got.getProps().getHeaders(), headers, "get: headers as they were sent");
    equal(got.getProps().toString(), sent.toString(), "get: properties too");
    channel.basicNack(got.getEnvelope().getDeliveryTag(), false, true);
    got = channel.basicGet(queue, false);
    ok(got != null && got.getEnvelope().isRedeliver(), "nack with requeue: redelivered", got);
    channel.basicReject(got.getEnvelope().getDeliveryTag(), false);
    equal(channel.basicGet(queue, true), null, "reject without requeue: gone; get from an empty queue");
    byte[] large = new byte[600_000];
    for (int i = 0; i < large.length; ++i) large[i] = (byte) (i * 31);
    channel.basicPublish("", queue, null, large);
    channel.waitForConfirms(5000);
    ok(Arrays.equals(channel.basicGet(queue, true).getBody(), large), "a body of 600000 bytes", "");

    int count = 2000;
    BlockingQueue<Integer> numbers = new ArrayBlockingQueue<>(count);
    CountDownLatch cancelled = new CountDownLatch(1);
    channel.basicQos(100);
    String tag = channel.basicConsume(queue, false, new DefaultConsumer(channel) {
      @Override
      public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body) throws IOException {
        numbers.add(Integer.valueOf(text(body)));
        getChannel().basicAck(envelope.getDeliveryTag(), false);
      }

      @Override
      public void handleCancelOk(String tag) {
        cancelled.countDown();
      }
    });
    Channel publisher = connection.createChannel();
    publisher.confirmSelect();
    for (int i = 0; i < count; ++i) publisher.basicPublish("", queue, null, bytes(String.valueOf(i)));
    ok(publisher.waitForConfirms(10_000), "2000 publishes, confirmed", "");
    List<Integer> received = new ArrayList<>();
    for (Integer number; received.size() < count && (number = numbers.poll(10, TimeUnit.SECONDS)) != null;) received.add(number);
    equal(received, IntStream.range(0, count).boxed().collect(Collectors.toList()), "2000 deliveries in order, prefetch 100");
    channel.basicCancel(tag);
    ok(cancelled.await(5, TimeUnit.SECONDS), "cancel", "");
    equal(channel.messageCount(queue) + channel.consumerCount(queue), 0L, "nothing is left, and nobody consumes");
    channel.basicPublish("", queue, null, bytes("x"));
    channel.waitForConfirms(5000);
    equal(channel.queueDelete(queue).getMessageCount(), 1, "delete says how many");
    connection.close();
  }

  private static void exchanges() throws Exception {
    Connection connection = connect();
    Channel channel = connection.createChannel();
    channel.confirmSelect();
    String[] keys = {"direct", "a", "fanout", "", "topic", "a.#", "headers", ""};
    Map<String, Object> match = new HashMap<>();
    match.put("x-match", "all");
    match.put("size", 3);
    Map<String, String> queues = new HashMap<>();
    for (int i = 0; i < keys.length; i += 2) {
      String kind = keys[i];
      channel.exchangeDeclare(PREFIX + kind, kind, false, false, null);
      queues.put(kind, channel.queueDeclare().getQueue());
      channel.queueBind(queues.get(kind), PREFIX + kind, keys[i + 1], kind.equals("headers") ? match : null);
      for (String key : new String[] {"a", "a.b.c", "b"}) {
        Map<String, Object> headers = new HashMap<>();
        headers.put("size", key.length()); // 1, 5, 1: none is the 3 that is bound
        headers.put("other", key);
        channel.basicPublish(PREFIX + kind, key, new AMQP.BasicProperties.Builder().headers(headers).build(), bytes(key));
      }
    }
    Map<String, Object> fitting = new HashMap<>();
    fitting.put("size", 3);
    channel.basicPublish(PREFIX + "headers", "", new AMQP.BasicProperties.Builder().headers(fitting).build(), bytes("m"));
    ok(channel.waitForConfirms(5000), "every publish is confirmed, routed or not", "");
    equal(channel.messageCount(queues.get("direct")), 1L, "direct: by key");
    equal(channel.messageCount(queues.get("fanout")), 3L, "fanout: to all");
    equal(channel.messageCount(queues.get("topic")), 2L, "topic: by pattern");
    equal(channel.messageCount(queues.get("headers")), 1L, "headers: by value");
    channel.exchangeBind(PREFIX + "fanout", PREFIX + "direct", "over");
    channel.basicPublish(PREFIX + "direct", "over", null, bytes("m"));
    channel.waitForConfirms(5000);
    equal(channel.messageCount(queues.get("fanout")), 4L, "exchange to exchange");
    BlockingQueue<String> returned = new ArrayBlockingQueue<>(1);
    channel.addReturnListener((code, reason, exchange, key, properties, body) -> returned.add(code + " " + key + " " + text(body)));
    channel.basicPublish(PREFIX + "direct", "nobody", true, null, bytes("back"));
    equal(returned.poll(5, TimeUnit.SECONDS), "312 nobody back", "mandatory without a route comes back, 312");
    for (int i = 0; i < keys.length; i += 2) channel.exchangeDelete(PREFIX + keys[i]);
    connection.close();
  }

  private static void expect(Connection connection, int code, String what, Action action) throws Exception {
    Channel channel = connection.createChannel();
    int got = 0;
    try {
      action.on(channel);
    } catch (IOException | AlreadyClosedException error) {
      got = codeOf(error);
    }
    equal(got, code, code + ": " + what);
  }

  private static void errors() throws Exception {
    Connection connection = connect();
    String missing = PREFIX + "missing";
    expect(connection, 404, "passive declare of a missing queue", channel -> channel.queueDeclarePassive(missing));
    expect(connection, 404, "consume from a missing queue", channel -> channel.basicConsume(missing, new DefaultConsumer(channel)));
    expect(connection, 404, "unbound exchange", channel -> channel.queueBind(channel.queueDeclare().getQueue(), missing, ""));
    expect(connection, 406, "redeclare of an exchange with another type", channel -> channel.exchangeDeclare("amq.topic", "fanout", true));
    expect(connection, 403, "declare of a reserved name", channel -> channel.exchangeDeclare("amq.mine", "fanout"));
    expect(connection, 404, "publish to a missing exchange", channel -> {
      channel.confirmSelect();
      channel.basicPublish(missing, "", null, bytes("x"));
      try {
        channel.waitForConfirms(5000);
      } catch (ShutdownSignalException closed) {
        throw new IOException(closed);
      }
    });
    Connection owner = connect();
    String exclusive = owner.createChannel().queueDeclare().getQueue();
    expect(connection, 405, "another connection's exclusive queue", channel -> channel.queuePurge(exclusive));
    owner.close();
    ok(connection.isOpen(), "the connection outlives all these channels", "");
    connection.close();

    ConnectionFactory wrong = factory();
    wrong.setPassword("wrong");
    try {
      wrong.newConnection();
      ok(false, "403: a wrong password", "accepted");
    } catch (AuthenticationFailureException error) {
      ok(error.getMessage().contains("ACCESS_REFUSED"), "403: a wrong password", error);
    }
    ConnectionFactory elsewhere = factory();
    elsewhere.setVirtualHost("no-such-vhost");
    try {
      elsewhere.newConnection();
      ok(false, "530: a missing vhost", "accepted");
    } catch (IOException error) {
      equal(codeOf(error), 530, "530: a missing vhost");
    }
  }

  private static void part(String name, Part part) {
    try {
      part.run();
    } catch (Throwable error) {
      ok(false, name + " runs to its end", error + "\n" + Arrays.toString(error.getStackTrace()) + "\n" + error.getCause());
    }
  }

  public static void main(String[] arguments) {
    part("publishConsumeGet", Interop::publishConsumeGet);
    part("exchanges", Interop::exchanges);
    part("errors", Interop::errors);
    System.out.println("1.." + checks);
    System.exit(failed == 0 ? 0 : 1);
  }
}
