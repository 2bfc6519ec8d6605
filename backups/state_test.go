package backups_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/backups"
)

// at is a time of Berlin, in winter unless it is later than March.
func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.ParseInLocation("2006-01-02 15:04", text, zone(t, "Europe/Berlin"))
	if err != nil {
		t.Fatal(err)
	}
	return when
}

// success and failure are runs that ended at a time, or none for "".
func success(t testing.TB, when string) backups.Run {
	if when == "" {
		return backups.Run{}
	}
	return backups.Run{At: at(t, when).UnixNano(), Outcome: "ok", Enough: true, Listed: 1 << 30, Took: time.Hour}
}

func failure(t testing.TB, when string) backups.Run {
	if when == "" {
		return backups.Run{}
	}
	return backups.Run{At: at(t, when).UnixNano(), Outcome: "aborted", Code: 30, Exited: true, Took: -1}
}

// Monday is 2026-02-02.
func TestStates(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	daily := backups.Expectation{Every: 24 * time.Hour, Grace: 2 * time.Hour}
	byAge := backups.Expectation{Every: 26 * time.Hour}
	nightly := backups.Expectation{Schedule: schedule(t, "0 2 * * *", "Europe/Berlin"), Grace: 3 * time.Hour,
		Calendar: backups.Calendar{Zone: berlin}}
	paused := daily
	paused.Paused = true
	workdays := backups.Calendar{Zone: berlin}
	for d := time.Monday; d <= time.Friday; d++ {
		workdays.Days = workdays.Days.With(d)
	}
	office := backups.Expectation{Every: 24 * time.Hour, Grace: 2 * time.Hour, Calendar: workdays}
	officeNights := backups.Expectation{Schedule: nightly.Schedule, Grace: 3 * time.Hour, Calendar: workdays}
	sundays := daily
	sundays.Calendar = backups.Calendar{Zone: berlin, Windows: []backups.Window{
		{Days: backups.Weekdays(0).With(time.Sunday), From: 22 * 60, To: 4 * 60}}}
	holidays := daily
	holidays.Calendar = backups.Calendar{Zone: berlin, Windows: []backups.Window{
		{Begin: at(t, "2026-02-03 00:00"), End: at(t, "2026-02-05 00:00")}}}

	for _, c := range []struct {
		name             string
		e                backups.Expectation
		success, failure string
		running          bool
		now              string
		state            backups.State
		overdue          string // when it is
		alarm            int
		why              string
	}{
		{"came", daily, "2026-02-02 03:00", "", false, "2026-02-03 02:59", "ok", "2026-02-03 05:00", 0, "came 23 h 59 min ago; the next is due in 1 min"},
		{"due", daily, "2026-02-02 03:00", "", false, "2026-02-03 03:00", "late", "2026-02-03 05:00", 1, "due for 0 s; overdue in 2 h"},
		{"within the grace", daily, "2026-02-02 03:00", "", false, "2026-02-03 04:59", "late", "2026-02-03 05:00", 1, "due for 1 h 59 min; overdue in 1 min"},
		{"beyond the grace", daily, "2026-02-02 03:00", "", false, "2026-02-03 05:00", "overdue", "2026-02-03 05:00", 2, "the last success was 1 day 2 h ago"},
		{"an age is never late", byAge, "2026-02-02 03:00", "", false, "2026-02-03 04:59", "ok", "2026-02-03 05:00", 0, "came 1 day 1 h ago; the next is due in 1 min"},
		{"an age is over", byAge, "2026-02-02 03:00", "", false, "2026-02-03 05:00", "overdue", "2026-02-03 05:00", 2, "the last success was 1 day 2 h ago"},
		{"runs", daily, "2026-02-02 03:00", "", true, "2026-02-03 04:00", "running", "2026-02-03 05:00", 0, "runs for 30 min"},
		{"runs too late", daily, "2026-02-02 03:00", "", true, "2026-02-03 05:00", "overdue", "2026-02-03 05:00", 2, "; one runs for 30 min"},
		{"failed", daily, "2026-02-02 03:00", "2026-02-02 20:00", false, "2026-02-02 21:00", "failed", "2026-02-03 05:00", 2, "the last attempt 1 h ago ended aborted with exit code 30"},
		{"failed and late", daily, "2026-02-02 03:00", "2026-02-03 03:30", false, "2026-02-03 04:30", "failed", "2026-02-03 05:00", 2, "exit code 30"},
		{"failed and overdue", daily, "2026-02-02 03:00", "2026-02-03 03:30", false, "2026-02-03 05:30", "overdue", "2026-02-03 05:00", 2, "; the last attempt 2 h ago ended aborted"},
		{"failed and tried again", daily, "2026-02-02 03:00", "2026-02-03 03:30", true, "2026-02-03 04:30", "running", "2026-02-03 05:00", 0, "runs for"},
		{"failed before it came", daily, "2026-02-02 03:00", "2026-02-02 02:00", false, "2026-02-02 04:00", "ok", "2026-02-03 05:00", 0, "came 1 h ago"},
		{"new", daily, "", "", false, "2026-02-01 12:00", "never", "2026-02-02 02:00", 1, "none has come yet; overdue in 14 h"},
		{"new and failed", daily, "", "2026-02-01 12:00", false, "2026-02-01 12:30", "failed", "2026-02-02 02:00", 2, "exit code 30"},
		{"new and runs", daily, "", "", true, "2026-02-01 12:30", "running", "2026-02-02 02:00", 0, "runs for"},
		{"never came", daily, "", "", false, "2026-02-02 02:00", "never", "2026-02-02 02:00", 2, "not one success in the 1 day 2 h that it has been expected"},
		{"never came, failed and runs", daily, "", "2026-02-01 12:00", true, "2026-02-02 02:00", "never", "2026-02-02 02:00", 2, "exit code 30"},
		{"paused", paused, "2026-02-01 03:00", "2026-02-02 03:00", false, "2026-02-09 03:00", "paused", "2026-02-02 05:00", 0, "paused by the settings"},

		{"schedule", nightly, "2026-02-02 03:15", "", false, "2026-02-03 01:59", "ok", "2026-02-03 05:00", 0, "came"},
		{"schedule, due", nightly, "2026-02-02 03:15", "", false, "2026-02-03 02:00", "late", "2026-02-03 05:00", 1, "due for"},
		{"schedule, overdue", nightly, "2026-02-02 03:15", "", false, "2026-02-03 05:00", "overdue", "2026-02-03 05:00", 2, "the last success"},
		{"a minute early", nightly, "2026-02-03 01:59", "", false, "2026-02-03 09:00", "ok", "2026-02-04 05:00", 0, "came"},
		{"out of turn", nightly, "2026-02-02 20:00", "", false, "2026-02-03 09:00", "overdue", "2026-02-03 05:00", 2, "the last success"},
		{"the night that 02:00 is skipped", nightly, "2026-03-28 03:00", "", false, "2026-03-29 03:00", "late", "2026-03-29 06:00", 1, "due for 0 s"},
		{"the night that 02:00 is there twice", nightly, "2026-10-24 03:00", "", false, "2026-10-25 05:00", "overdue", "2026-10-25 04:00", 2, "the last success"},

		{"a weekend, every day", office, "2026-02-06 22:00", "", false, "2026-02-09 21:59", "ok", "2026-02-10 00:00", 0, "came"},
		{"after the weekend", office, "2026-02-06 22:00", "", false, "2026-02-09 22:00", "late", "2026-02-10 00:00", 1, "due"},
		{"a grace over the weekend", office, "2026-02-05 23:00", "", false, "2026-02-07 12:00", "late", "2026-02-09 01:00", 1, "due for 13 h"},
		{"a weekend, scheduled", officeNights, "2026-02-06 03:00", "", false, "2026-02-08 12:00", "ok", "2026-02-09 05:00", 0, "came"},
		{"overdue at the weekend", office, "2026-02-05 03:00", "", false, "2026-02-08 12:00", "overdue", "2026-02-06 05:00", 2, "the last success"},
		{"in a window", sundays, "2026-01-31 20:00", "", false, "2026-02-02 03:59", "paused", "2026-02-01 22:00", 0, "in a maintenance window until 2026-02-02 04:00 CET"},
		{"after a window", sundays, "2026-01-31 20:00", "", false, "2026-02-02 04:00", "overdue", "2026-02-01 22:00", 2, "the last success"},
		{"a window stops the clock", sundays, "2026-02-01 03:30", "", false, "2026-02-02 04:30", "ok", "2026-02-02 11:30", 0, "came"},
		{"holidays", holidays, "2026-02-02 12:00", "", false, "2026-02-04 12:00", "paused", "2026-02-05 14:00", 0, "until 2026-02-05 00:00 CET"},
		{"after the holidays", holidays, "2026-02-02 12:00", "", false, "2026-02-05 11:59", "ok", "2026-02-05 14:00", 0, "came"},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := at(t, c.now)
			of := backups.Entry{Since: at(t, "2026-02-01 00:00").UnixNano(), Success: success(t, c.success), Attempt: success(t, c.success)}
			if c.failure > c.success {
				of.Attempt = failure(t, c.failure)
			}
			if c.running {
				of.Running, of.RunningSince = 1, now.Add(-30*time.Minute).UnixNano()
			}
			got := backups.Judge(&c.e, &of, now)
			if got.State != c.state || !got.Overdue.Equal(at(t, c.overdue)) || got.Alarm() != c.alarm {
				t.Errorf("%s, overdue at %v, alarm %d; want %s, %s, %d", got.State, got.Overdue, got.Alarm(), c.state, c.overdue, c.alarm)
			}
			if why := got.Why(); !strings.Contains(why, c.why) {
				t.Errorf("why: %q, want %q", why, c.why)
			}
			isLate := !now.Before(at(t, c.overdue)) && c.state != backups.Paused
			if got.IsLate != isLate {
				t.Errorf("overdue: %v, want %v", got.IsLate, isLate)
			}
			if !slices.Contains(backups.States(), got.State) {
				t.Errorf("state %q is not in the list of states", got.State)
			}
		})
	}
}

func TestTheWorstFirst(t *testing.T) {
	var expected []backups.Expectation
	r := &backups.Record{}
	add := func(name string, every time.Duration, of backups.Entry) {
		expected = append(expected, backups.Expectation{Name: name, Every: every, Paused: name == "paused"})
		r.Entries = append(r.Entries, of)
	}
	now := at(t, "2026-02-03 12:00")
	yesterday := success(t, "2026-02-02 12:00")
	came := backups.Entry{Success: yesterday, Attempt: yesterday}
	runs := came
	runs.Running = 1
	failed := came
	failed.Attempt = failure(t, "2026-02-02 13:00")
	since := at(t, "2026-02-01 12:00").UnixNano()
	add("paused", time.Hour, came)
	add("ok", 48*time.Hour, came)
	add("runs", 48*time.Hour, runs)
	add("new", 72*time.Hour, backups.Entry{Since: since})
	add("failed", 48*time.Hour, failed)
	add("never", time.Hour, backups.Entry{Since: since})
	add("overdue b", time.Hour, came)
	add("overdue c", time.Minute, came)
	add("overdue a", time.Hour, came)
	var names []string
	for _, s := range r.List(expected, now) {
		names = append(names, s.Expected.Name)
	}
	want := "overdue c, overdue a, overdue b, never, failed, new, runs, ok, paused"
	if got := strings.Join(names, ", "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	all := r.API(expected, now)
	if all.States["overdue"] != 3 || all.States["never"] != 2 || all.Backups[0].Name != "overdue c" || all.Backups[0].MaxAge != 60 ||
		*all.Backups[0].Age != 86400 || all.Backups[0].LastOutcome != "ok" || all.Backups[3].Age != nil {
		t.Errorf("%+v", all)
	}
}

func TestASuccessThatIsUnusual(t *testing.T) {
	e := backups.Expectation{Every: 48 * time.Hour}
	was := success(t, "2026-02-01 12:00")
	now := at(t, "2026-02-03 12:00")
	for _, c := range []struct {
		listed uint64
		took   time.Duration
		want   string
	}{
		{1 << 30, time.Hour, "came 1 day ago; the next"},
		{1<<29 - 1, time.Hour, "with 512 MiB where 1.00 GiB are usual"},
		{1 << 30, 3 * time.Hour, "and took 3 h where 1 h is usual"},
	} {
		last := success(t, "2026-02-02 12:00")
		last.Listed, last.Took = c.listed, c.took
		s := backups.Judge(&e, &backups.Entry{Success: last, Attempt: last, Earlier: []backups.Run{was, was, was}}, now)
		if got := s.Why(); !strings.Contains(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func BenchmarkTenThousandBackups(b *testing.B) {
	var expected []backups.Expectation
	r := &backups.Record{}
	last := success(b, "2026-02-02 12:00")
	nightly := schedule(b, "0 2 * * *", "Europe/Berlin")
	for i := range backups.MaxExpected {
		e := backups.Expectation{Name: "b", Every: 26 * time.Hour}
		if i%2 == 0 {
			e = backups.Expectation{Name: "b", Schedule: nightly, Calendar: backups.Calendar{Zone: zone(b, "Europe/Berlin"), Days: 0b111110}}
		}
		expected = append(expected, e)
		r.Entries = append(r.Entries, backups.Entry{Success: last, Attempt: last})
	}
	now := at(b, "2026-02-03 12:00")
	for b.Loop() {
		r.List(expected, now)
	}
}
