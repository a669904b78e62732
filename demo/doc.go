// Package demo plays a bad day of an invented shop to a gateway, on the
// gateway's virtual clock, and prints what the alerts became: a newcomer sees
// in a moment what a gateway is for. The day is made by the same small model of
// Alertmanager (group_wait, group_interval, a second instance that repeats
// everything) each time, so that its output can be compared between versions.
// It knows no gateway: whoever calls Run wires one in.
package demo
