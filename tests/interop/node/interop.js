// Node's amqplib against the broker at AMQP_URL. Checks are printed as TAP, one line each.
'use strict';

const amqp = require('amqplib');
const { isDeepStrictEqual } = require('util');
const { once } = require('events');

const url = process.env.AMQP_URL;
const prefix = `interop-node-${process.pid}-`;
let checks = 0;
let failed = 0;

function ok(holds, what, detail) {
  checks += 1;
  console.log(`${holds ? 'ok' : 'not ok'} ${checks} - ${what}`);
  if (!holds) {
    failed += 1;
    if (detail !== undefined) console.log(`# ${String(detail).replace(/\n/g, '\n# ')}`);
  }
}
const equal = (got, expected, what) =>
  ok(isDeepStrictEqual(got, expected), what, `got ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`);

// `promise`, or a rejection after some seconds: nothing here waits without a bound.
function within(seconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function connect(to = url, options = { clientProperties: { connection_name: 'interop amqplib' } }) {
  const connection = await within(10, amqp.connect(to, options));
  connection.on('error', () => {});
  return connection;
}

async function publishConsumeGet() {
  const connection = await connect();
  const channel = await connection.createConfirmChannel();
  const { queue } = await channel.assertQueue(prefix + 'q', { durable: false, exclusive: true });
  const headers = { int: 7, big: 2 ** 40, negative: -5, float: 0.5, text: 'grüße', yes: true, nothing: null, list: [1, 'two'], table: { inner: 1 } };
  const sent = {
    contentType: 'text/plain', contentEncoding: 'identity', deliveryMode: 2, priority: 3, correlationId: 'c', replyTo: 'answers',
    expiration: '60000', messageId: 'm', timestamp: 1234567890, type: 'greeting', appId: 'interop', headers,
  };
  channel.sendToQueue(queue, Buffer.from('hello'), sent);
  await within(5, channel.waitForConfirms());
  ok(true, 'publish, confirmed');
  let message = await within(5, channel.get(queue));
  equal([message.content.toString(), message.fields.redelivered, message.fields.messageCount], ['hello', false, 0], 'get');
  const { contentType, deliveryMode, priority, correlationId, expiration, timestamp, appId } = message.properties;
  equal({ contentType, deliveryMode, priority, correlationId, expiration, timestamp, appId, headers: { ...message.properties.headers } },
    { contentType: 'text/plain', deliveryMode: 2, priority: 3, correlationId: 'c', expiration: '60000', timestamp: 1234567890, appId: 'interop', headers },
    'get: properties and headers as they were sent');
  channel.nack(message, false, true);
  message = await within(5, channel.get(queue));
  equal(message.fields.redelivered, true, 'nack with requeue: redelivered');
  channel.reject(message, false);
  equal(await within(5, channel.get(queue)), false, 'reject without requeue: gone; get from an empty queue');

  const large = Buffer.alloc(700000, 'abcdefg');
  channel.sendToQueue(queue, large);
  await within(5, channel.waitForConfirms());
  message = await within(5, channel.get(queue, { noAck: true }));
  ok(large.equals(message.content), 'a body of 700000 bytes');

  const count = 2000;
  await channel.prefetch(100);
  const numbers = [];
  const all = new Promise((resolve) => {
    channel.consume(queue, (delivery) => {
      numbers.push(Number(delivery.content.toString()));
      channel.ack(delivery);
      if (numbers.length === count) resolve();
    }, { consumerTag: 'reader' });
  });
  let confirms = 0;
  for (let number = 0; number < count; number += 1) {
    channel.sendToQueue(queue, Buffer.from(String(number)), {}, (error) => { if (!error) confirms += 1; });
  }
  await within(20, all);
  await within(5, channel.waitForConfirms());
  equal(numbers, [...Array(count).keys()], '2000 deliveries in order, prefetch 100');
  equal(confirms, count, '2000 confirms');
  await channel.cancel('reader');
  equal((await channel.checkQueue(queue)).messageCount, 0, 'nothing is left');
  equal((await channel.checkQueue(queue)).consumerCount, 0, 'and nobody consumes');

  channel.sendToQueue(queue, Buffer.from('x'));
  await channel.waitForConfirms();
  equal((await channel.purgeQueue(queue)).messageCount, 1, 'purge says how many');
  const cancelled = new Promise((resolve) => { channel.consume(queue, (delivery) => { if (delivery === null) resolve(true); }); });
  equal((await channel.deleteQueue(queue)).messageCount, 0, 'delete says how many');
  equal(await within(5, cancelled), true, 'and cancels the consumer');
  await connection.close();
}

async function exchanges() {
  const connection = await connect();
  const channel = await connection.createConfirmChannel();
  const bound = async (exchange, key, bindingArguments) => {
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(queue, exchange, key, bindingArguments);
    return queue;
  };
  const depth = async (queue) => (await channel.checkQueue(queue)).messageCount;
  for (const kind of ['direct', 'fanout', 'topic', 'headers']) await channel.assertExchange(prefix + kind, kind, { durable: false });
  const direct = await bound(prefix + 'direct', 'a');
  const fanout = await bound(prefix + 'fanout', '');
  const topic = await bound(prefix + 'topic', '#.z');
  const both = await bound(prefix + 'headers', '', { 'x-match': 'all', a: 1, b: 'x' });
  const either = await bound(prefix + 'headers', '', { 'x-match': 'any', a: 1, b: 'x' });
  for (const kind of ['direct', 'fanout', 'topic']) for (const key of ['a', 'z', 'a.b.z', 'z.a']) channel.publish(prefix + kind, key, Buffer.from(key));
  for (const headers of [{ a: 1, b: 'x' }, { a: 1 }, { b: 'y' }]) channel.publish(prefix + 'headers', '', Buffer.alloc(0), { headers });
  await within(5, channel.waitForConfirms());
  equal(await depth(direct), 1, 'direct: by key');
  equal(await depth(fanout), 4, 'fanout: to all');
  equal(await depth(topic), 2, 'topic: by pattern');
  equal([await depth(both), await depth(either)], [1, 2], 'headers: all, any');
  await channel.bindExchange(prefix + 'fanout', prefix + 'topic', 'over.#');
  channel.publish(prefix + 'topic', 'over.there', Buffer.from('x'));
  await within(5, channel.waitForConfirms());
  equal(await depth(fanout), 5, 'exchange to exchange');
  await channel.unbindExchange(prefix + 'fanout', prefix + 'topic', 'over.#');

  const returned = once(channel, 'return');
  channel.publish(prefix + 'direct', 'nobody', Buffer.from('back'), { mandatory: true, messageId: 'r' });
  const [message] = await within(5, returned);
  equal([message.fields.replyCode, message.content.toString(), message.properties.messageId], [312, 'back', 'r'], 'mandatory without a route comes back, 312');
  await within(5, channel.waitForConfirms());
  for (const kind of ['direct', 'fanout', 'topic', 'headers']) await channel.deleteExchange(prefix + kind);
  await connection.close();
}

async function errors() {
  const connection = await connect();
  const missing = prefix + 'missing';
  // What closes the channel arrives as an 'error' event; what a call waits for rejects too.
  const expect = async (code, what, action) => {
    const channel = await connection.createChannel();
    const closed = once(channel, 'error').catch((error) => [error]);
    const failure = new Promise((resolve) => { channel.on('error', resolve); });
    try { await action(channel); } catch (error) { /* the event has the code */ }
    const error = await within(5, Promise.race([failure, closed.then(([first]) => first)])).catch((late) => late);
    equal(error.code, code, `${code}: ${what}`);
  };
  await expect(404, 'check of a missing queue', (channel) => channel.checkQueue(missing));
  await expect(404, 'consume from a missing queue', (channel) => channel.consume(missing, () => {}));
  await expect(404, 'check of a missing exchange', (channel) => channel.checkExchange(missing));
  await expect(404, 'publish to a missing exchange', async (channel) => channel.publish(missing, '', Buffer.from('x')));
  await expect(406, 'redeclare with another auto-delete', async (channel) => {
    await channel.assertQueue(prefix + 'transient', { durable: false, exclusive: true });
    await channel.assertQueue(prefix + 'transient', { durable: false, exclusive: true, autoDelete: true });
  });
  await expect(406, 'redeclare of an exchange with another type', (channel) => channel.assertExchange('amq.fanout', 'topic'));
  await expect(403, 'declare of a reserved exchange name', (channel) => channel.assertExchange('amq.mine', 'topic'));
  await expect(406, 'acknowledging twice', async (channel) => {
    const { queue } = await channel.assertQueue('', { exclusive: true });
    channel.sendToQueue(queue, Buffer.from('x'));
    let message = false;
    for (let attempt = 0; attempt < 100 && !message; attempt += 1) message = await channel.get(queue);
    channel.ack(message);
    channel.ack(message);
  });
  const owner = await connect();
  const { queue } = await (await owner.createChannel()).assertQueue('', { exclusive: true });
  await expect(405, "another connection's exclusive queue", (channel) => channel.checkQueue(queue));
  await owner.close();
  await connection.createChannel();
  ok(true, 'the connection outlives all these channels');
  await connection.close();

  const refusal = await connect(url.replace('guest:guest', 'guest:wrong')).then(() => 'accepted', String);
  ok(/403/.test(refusal), '403: a wrong password', refusal);
  const denied = await connect(url.replace('%2f', 'no-such-vhost')).then(() => 'accepted', String);
  ok(/530|ConnectionClose/.test(denied), 'a missing vhost: connection.close', denied);
}

async function main() {
  for (const part of [publishConsumeGet, exchanges, errors]) {
    try {
      await part();
    } catch (error) {
      ok(false, `${part.name} runs to its end`, error.stack);
    }
  }
  console.log(`1..${checks}`);
  process.exit(failed ? 1 : 0);
}

main();
