// Checks as TAP, one line each, for the programs that use Go's client. Each is built of its own file and this one.
package main

import (
	"fmt"
	"os"

	amqp "github.com/rabbitmq/amqp091-go"
)

var (
	url    = os.Getenv("AMQP_URL")
	checks = 0
	failed = 0
)

func ok(holds bool, what string, detail ...interface{}) {
	checks++
	if holds {
		fmt.Printf("ok %d - %s\n", checks, what)
		return
	}
	failed++
	fmt.Printf("not ok %d - %s\n", checks, what)
	if len(detail) > 0 {
		fmt.Printf("# %v\n", detail)
	}
}

// finish says how many checks there were, and ends the program.
func finish() {
	fmt.Printf("1..%d\n", checks)
	if failed > 0 {
		os.Exit(1)
	}
	os.Exit(0)
}

func openChannel(connection *amqp.Connection) *amqp.Channel {
	channel, err := connection.Channel()
	must(err)
	return channel
}
