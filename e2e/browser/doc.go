// Package browser tests the web console as people use it: in a real Chromium, at the
// width of a desk and of a telephone, in light and dark, with the keyboard only, and
// with JavaScript off. axe-core looks for what keeps people out.
//
// The tests need chromium, and npm for axe-core.
package browser
