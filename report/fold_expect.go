package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rsyncd_exporter/rsynclog"
)

const (
	// leastSuccesses is how many backups show that they are regular.
	leastSuccesses = 3
	// leastGap is the shortest one of backups that somebody waits for. A run that comes in parts
	// has shorter ones.
	leastGap = 15 * time.Minute
	// usualGap is the longest usual gap by the middle one; usualPart of all gaps must not be longer.
	usualGap  = 1.5
	usualPart = 0.9
	// reserve is how much longer than the middle gap the suggested age is: two hours for a day.
	reserve = 13.0 / 12
)

// suggest returns an entry of EXPECT for each user whose backups came regularly. until is the end
// of the log.
func (us users) suggest(until int64) []Expected {
	list := []Expected{}
	for _, u := range us.sorted() {
		if u.direction != rsynclog.Receive || !expectable(u.module) || !expectable(u.user) {
			continue
		}
		age, evidence, ok := u.gaps.regular()
		if !ok {
			continue
		}
		if silent := time.Duration(until - u.lastSuccess); silent > age {
			evidence += ", none in the last " + spoken(silent)
		}
		entry := u.module
		if u.user != "" {
			entry += "@" + u.user
		}
		list = append(list, Expected{Entry: entry + "<" + shortAge(age), Evidence: evidence})
	}
	return list
}

// expectable says whether a name can stand in EXPECT.
func expectable(name string) bool {
	return name != rsynclog.Other && !strings.ContainsAny(name, ",@<") && strings.TrimSpace(name) == name
}

// regular returns the age that successes at regular intervals don't reach, and says what they were.
func (g *gaps) regular() (age time.Duration, evidence string, ok bool) {
	all, last := g.all()
	if g.n < leastSuccesses || len(last) < leastSuccesses-1 {
		return 0, "", false
	}
	slices.Sort(last)
	middle := time.Duration(last[len(last)/2])
	usual := 0
	for usual < len(last) && float64(last[usual]) <= usualGap*float64(middle) {
		usual++
	}
	if middle < leastGap || float64(usual) < usualPart*float64(len(last)) {
		return 0, "", false
	}
	age = roundAge(max(time.Duration(last[usual-1])+1, time.Duration(reserve*float64(middle))))
	days := int((all.settled-all.first)/int64(dayLong)) + 1
	return age, fmt.Sprintf("%d successes in %s, every %s, longest gap %s",
		g.n, plural(days, "day"), spoken(roundTo(middle)), spoken(time.Duration(all.longest))), true
}

// roundAge rounds up: quarter hours below two hours, half hours below twelve, pairs of hours below
// three days, then days.
func roundAge(d time.Duration) time.Duration {
	step := dayLong
	switch {
	case d <= 2*time.Hour:
		step = 15 * time.Minute
	case d <= 12*time.Hour:
		step = 30 * time.Minute
	case d <= 3*dayLong:
		step = 2 * time.Hour
	}
	return (d + step - 1) / step * step
}

// roundTo rounds a usual gap to what people would call it.
func roundTo(d time.Duration) time.Duration {
	if d >= 12*time.Hour {
		return d.Round(time.Hour)
	}
	return d.Round(5 * time.Minute)
}

// shortAge writes a duration of whole minutes as EXPECT has it: 90m, 26h, 8d.
func shortAge(d time.Duration) string {
	switch {
	case d > 3*dayLong && d%dayLong == 0:
		return fmt.Sprintf("%dd", d/dayLong)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}

// spoken writes a duration for people, in minutes: 45 min, 25 h 10 min, 7 days 2 h.
func spoken(d time.Duration) string {
	d = d.Round(time.Minute)
	h, m := int(d/time.Hour), int(d%time.Hour/time.Minute)
	switch {
	case h == 0:
		return fmt.Sprintf("%d min", m)
	case h > 72 && h%24 == 0:
		return plural(h/24, "day")
	case h > 72:
		return fmt.Sprintf("%s %d h", plural(h/24, "day"), h%24)
	case m == 0:
		return fmt.Sprintf("%d h", h)
	}
	return fmt.Sprintf("%d h %d min", h, m)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
