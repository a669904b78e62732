// Package tocsin is an alert-ingestion gateway. This folder has no code of its
// own, only tests about the whole: see cmd/tocsin for a tour.
package tocsin
