//go:build race

package testbubble

const race = true
