//go:build !failpoint

package main

import "github.com/tocsin-gateway/tocsin/store"

// withOutage returns st: only a binary with failpoints plays an outage.
func withOutage(st store.Store) store.Store { return st }
