package incident

import (
	"fmt"
	"time"
)

// Duty returns what became of a duty with the given base, zero if nothing has yet.
// An earlier base than before, such as a start that only a later alert told of, is
// the same duty.
func (p *Process) Duty(name string, base time.Time) Duty {
	for n := range p.Duties {
		if d := &p.Duties[n]; d.Name == name {
			if !base.After(d.Base) {
				return *d
			}
			break
		}
	}
	return Duty{Name: name, Base: base}
}

// SetDuty replaces what is known of a duty.
func (p *Process) SetDuty(d Duty) {
	for n := range p.Duties {
		if p.Duties[n].Name == d.Name {
			p.Duties[n] = d
			return
		}
	}
	p.Duties = keepLast(p.Duties, d, dutiesKept)
}

// Fulfil says that a person has done what a duty asks for; base is what the duty
// counts from. Waive says that it need not be done.
func (e *Edit) Fulfil(by, duty string, base time.Time, waive bool, comment string) error {
	p := e.Process()
	d := p.Duty(duty, base)
	if d.Outcome != "" {
		return nil
	}
	outcome, text := DutyKept, "done: "+duty
	switch {
	case waive && comment == "":
		return &FieldError{"comment", "say why it need not be done"}
	case waive:
		outcome, text = DutyWaived, "not needed: "+duty
	case d.Fired > 0:
		outcome = DutyMissed // it is done, but late
		text = fmt.Sprintf("done late: %s", duty)
	}
	fired := d.Fired > 0
	d.Outcome, d.By, d.At = outcome, by, e.now
	p.SetDuty(d)
	e.takesPart(by)
	e.Log(by, "duty_"+outcome, withComment(text, comment), 0)
	if !fired { // a missed one was counted when it fired
		e.Outcome(duty, outcome)
	}
	return nil
}
