//go:build !race

package testbubble

const race = false
