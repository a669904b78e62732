// Package e2e tests the built binary from outside, over HTTP, with the programs
// that it meets in real life: Prometheus, Alertmanager, Nagios, Icinga
// and mail servers deliver to it, it sends mail to one, and it is killed while they do. Kill is the harness that kills a gateway under load
// and compares what it then shows with a ledger of what it acknowledged.
//
// The tests build ./cmd/tocsin themselves. The environment changes that:
//
//	TOCSIN_E2E_BINARY            use this binary instead
//	TOCSIN_E2E_FAILPOINT_BINARY  use this one, built with -tags failpoint, for the kills
//	TOCSIN_E2E_REQUIRED=1        fail, rather than skip, where a program such as Prometheus is missing
//
// The long run of the kill test: go test ./e2e -run Kill -kills 60 -timeout 30m
package e2e
