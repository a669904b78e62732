// Package bench measures a gateway under the loads that we promise figures
// for, beside two yardsticks in the same run: a Gin handler that only reads the
// body, and Alertmanager, which keeps nothing on disk. It sees the gateway only
// from outside, as an HTTP server and as a process.
//
// The load generator shares the machine with what it measures, so rates swing
// with everything else that runs there. The CPU seconds of the server per 1,000
// alerts swing much less: that, and its ratio to the yardsticks, is the figure
// to compare. CPU and memory are read from /proc and unknown where there is none.
//
// Gateways may keep their state in a Redis, which is then part of what is
// measured: its CPU counts with theirs, as it says itself. Beside all loads,
// growth shows what the same work costs on a store that fills.
package bench
