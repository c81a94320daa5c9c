// A queue follows its traffic, seen from outside: Go's amqp091 client publishes numbered messages with confirms and
// acknowledges them late, on connections of one worker that is not the queue's home, until the queue has moved there; then
// the same from the worker it came from. Needs talariactl on the PATH and a broker with two workers at least. Checks are
// printed as TAP, one line each.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	unconfirmed  = 500  // at most
	unsettled    = 1000 // deliveries that the consumer holds, so that the queue moves with some
	afterTheMove = 5000 // messages
	patience     = 40 * time.Second
)

func must(err error) {
	if err != nil {
		fmt.Printf("not ok %d - no error\n# %v\n", checks+1, err)
		os.Exit(1)
	}
}

// ---- what the operator sees -----------------------------------------------------------------------------------------

func talariactl(into interface{}, words ...string) {
	output, err := exec.Command("talariactl", append([]string{"--json"}, words...)...).Output()
	must(err)
	must(json.Unmarshal(output, into))
}

type queueRow struct {
	Name     string `json:"name"`
	Worker   int    `json:"worker"`
	Messages int    `json:"messages"`
}

func queueNamed(name string) queueRow {
	var rows []queueRow
	talariactl(&rows, "list_queues", "name", "worker", "messages")
	for _, row := range rows {
		if row.Name == name {
			return row
		}
	}
	return queueRow{Worker: -1}
}

func queuesMoved() int {
	var status struct {
		Moved int `json:"queues_moved"`
	}
	talariactl(&status, "status")
	return status.Moved
}

// ---- connections ----------------------------------------------------------------------------------------------------

// workerOf says where a connection of ours ended up, which its addresses decide.
func workerOf(connection *amqp.Connection) int {
	port := strconv.Itoa(connection.LocalAddr().(*net.TCPAddr).Port)
	var rows []struct {
		Port   string `json:"peer_port"`
		Worker int    `json:"worker"`
	}
	talariactl(&rows, "list_connections", "peer_port", "worker")
	for _, row := range rows {
		if row.Port == port {
			return row.Worker
		}
	}
	return -1
}

func connectTo(worker int) *amqp.Connection {
	for attempt := 0; attempt < 100; attempt++ {
		connection, err := amqp.Dial(url)
		must(err)
		if workerOf(connection) == worker {
			return connection
		}
		must(connection.Close())
	}
	must(fmt.Errorf("no connection reaches worker %d", worker))
	return nil
}

// ---- a leg ----------------------------------------------------------------------------------------------------------

type consumed struct {
	count        uint64
	wrong        string
	unsettledMax int
}

// consume reads until `last` is known and has come, and settles everything.
func consume(channel *amqp.Channel, deliveries <-chan amqp.Delivery, last *atomic.Uint64, result chan<- consumed) {
	var seen consumed
	var settled uint64
	deadline := time.After(2 * patience)
	ticks := time.NewTicker(10 * time.Millisecond)
	defer ticks.Stop()
	for seen.wrong == "" && (last.Load() == 0 || seen.count < last.Load()) {
		select {
		case delivery, open := <-deliveries:
			if !open {
				seen.wrong = "the consumer was cancelled"
				break
			}
			number := binary.BigEndian.Uint64(delivery.Body)
			if number != seen.count+1 || delivery.Redelivered || delivery.DeliveryTag != number {
				seen.wrong = fmt.Sprintf("%d came after %d, tag %d, redelivered %v", number, seen.count,
					delivery.DeliveryTag, delivery.Redelivered)
			}
			seen.count = number
			if int(number-settled) > seen.unsettledMax {
				seen.unsettledMax = int(number - settled)
			}
			if number >= settled+unsettled+100 {
				settled = number - unsettled
				must(channel.Ack(settled, true))
			}
		case <-ticks.C: // has the last one become known?
		case <-deadline:
			seen.wrong = fmt.Sprintf("nothing came after %d for too long", seen.count)
		}
	}
	if seen.count != 0 {
		must(channel.Ack(seen.count, true))
	}
	result <- seen
}

// leg publishes and consumes on one worker until the queue is there, and a while longer.
func leg(queue string, worker int) {
	home := queueNamed(queue).Worker
	movedBefore := queuesMoved()
	sending, receiving := connectTo(worker), connectTo(worker)
	publisher, consumer := openChannel(sending), openChannel(receiving)
	must(publisher.Confirm(false))
	confirmations := publisher.NotifyPublish(make(chan amqp.Confirmation, 2*unconfirmed))
	must(consumer.Qos(2*unsettled, 0, false))
	deliveries, err := consumer.Consume(queue, "", false, false, false, false, nil)
	must(err)
	var last atomic.Uint64
	result := make(chan consumed, 1)
	go consume(consumer, deliveries, &last, result)

	var published, confirmed, refused uint64
	stuck := time.After(2 * patience)
	awaitConfirms := func(most uint64) bool {
		for published-confirmed > most {
			select {
			case one := <-confirmations:
				confirmed++
				if !one.Ack {
					refused++
				}
			case <-stuck:
				return false
			}
		}
		return true
	}
	body := make([]byte, 100)
	var moved, asked time.Time
	for start, end := time.Now(), uint64(0); (end == 0 || published < end) && time.Since(start) < patience; {
		for i := 0; i < 50; i++ {
			published++
			binary.BigEndian.PutUint64(body, published)
			must(publisher.PublishWithContext(context.Background(), "", queue, false, false, amqp.Publishing{Body: body}))
		}
		if !awaitConfirms(unconfirmed) {
			break
		}
		time.Sleep(500 * time.Microsecond)
		if end == 0 && time.Since(asked) > 100*time.Millisecond {
			asked = time.Now()
			if queueNamed(queue).Worker == worker {
				moved = asked
				end = published + afterTheMove
			}
		}
	}
	last.Store(published)
	what := fmt.Sprintf("from worker %d to %d: ", home, worker)
	ok(!moved.IsZero() && queueNamed(queue).Worker == worker, what+"the queue is where its clients are", queueNamed(queue))
	ok(queuesMoved() == movedBefore+1, what+"status counts the move", movedBefore, queuesMoved())
	ok(awaitConfirms(0) && refused == 0, what+"every publish is confirmed", published, confirmed, refused)
	seen := <-result
	ok(seen.wrong == "" && seen.count == published, what+"each message comes once, in order", seen, published)
	ok(seen.unsettledMax > unsettled, what+"some were unacknowledged all the time", seen.unsettledMax)
	must(sending.Close())
	must(receiving.Close())
	left := -1
	for i := 0; i < 100 && left != 0; i++ {
		left = queueNamed(queue).Messages
		time.Sleep(10 * time.Millisecond)
	}
	ok(left == 0, what+"nothing is left in the queue", left)
	fmt.Printf("# %d messages\n", published)
}

func main() {
	connection, err := amqp.Dial(url)
	must(err)
	name := "moves-" + strconv.Itoa(os.Getpid())
	_, err = openChannel(connection).QueueDeclare(name, false, false, false, false, nil)
	must(err)
	home := queueNamed(name).Worker
	other := 0
	if home == 0 {
		other = 1
	}
	leg(name, other)
	// Not again before ten seconds are over: meanwhile everything crosses.
	leg(name, home)
	_, err = openChannel(connection).QueueDelete(name, false, false, false)
	must(err)
	must(connection.Close())
	finish()
}
