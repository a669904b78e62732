package console

import (
	"fmt"
	"strconv"
)

// chart is a row of bars. Its figures stand in a table beside it; the drawing holds no
// text, so that it may be stretched to any width.
type chart struct {
	// Title is what it shows, Of what that is of if that stands above it. Most is the largest value, in words; empty if there is none.
	Title, Of, Most string
	// First and Last name the ends of the axis.
	First, Last string
	// Width is that of the drawing, whose height is 100.
	Width int
	Bars  []bar
}

// bar is one of them. Without a value there is none.
type bar struct {
	X, Y, Height, Width int
	// Title says what it stands for.
	Title string
}

// barPitch and barWidth are how far bars are apart, and how wide one is.
const barPitch, barWidth = 10, 8

// newChart draws values, of which those below 0 are not known. A bar of
// the full height has the value top; write says a value in words.
func newChart(title string, names []string, values []float64, top float64, write func(float64) string) chart {
	c := chart{Title: title, Width: max(1, len(values)) * barPitch}
	if len(names) > 0 {
		c.First, c.Last = names[0], names[len(names)-1]
	}
	for n, v := range values {
		if v < 0 || v == 0 && top == 0 {
			continue
		}
		b := bar{X: n*barPitch + (barPitch-barWidth)/2, Width: barWidth, Title: names[n] + ": " + write(v)}
		if top > 0 && v > 0 {
			b.Height = max(1, int(v/top*100)) // what is there is seen
		}
		b.Y = 100 - b.Height
		c.Bars = append(c.Bars, b)
	}
	if most := highest(values); most > 0 {
		c.Most = write(most)
	}
	return c
}

// highest is the largest of values, 0 of none.
func highest(values []float64) float64 {
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	return most
}

// Summary says in words what the drawing shows.
func (c chart) Summary() string {
	title := c.Title
	if c.Of != "" {
		title = c.Of + ", " + c.Title
	}
	if c.Most == "" {
		return title + ": nothing from " + c.First + " to " + c.Last
	}
	return fmt.Sprintf("%s, from %s to %s, at most %s. The table has the figures.", title, c.First, c.Last, c.Most)
}

func count(v float64) string { return strconv.Itoa(int(v)) }

func duration(v float64) string { return exact(v) }
