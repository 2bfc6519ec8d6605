// Package checkpoint keeps what survives a restart: one payload, durably in a directory, in two
// copies. The codec says what a payload looks like; the directory doesn't look into it.
//
// Whoever shows numbers to others must not show smaller ones after a crash. So a payload is saved
// before what it holds is shown. "Saved" means durable twice: when Save has returned nil, state.a
// and state.b both hold the payload, and their contents and names are on the disk as far as
// fsync(2) reaches. A bad sector, a stray editor or a restored backup may then ruin one of the two,
// and nothing that was shown is lost.
//
// Save numbers each attempt, failed ones too. For state.a and then for state.b it writes state.tmp,
// syncs it and renames it over the copy. In the end it syncs the directory. No copy is ever written
// in place, and none is replaced by something that isn't on the disk yet. Let n be the last number
// whose Save returned nil, or 0: what was shown is n or older. The claim is that at every moment,
// whether the process is killed or the machine loses its power, each undamaged copy is n or a later
// attempt, whole. The claim holds when Save n returns, since both copies are n, durably. Each step
// of a later attempt m keeps it:
//
//   - state.tmp is never read, in whatever condition it is, and the next Save removes it. The
//     copies stay as they were.
//   - A rename puts m, whole and synced, in the place of n or later. After a power cut any
//     combination of the renames that no sync of the directory followed has reached the disk. So
//     each copy is m or what it was.
//   - The sync of the directory makes both m.
//   - An attempt that fails anywhere leaves what these steps left. The next one has a higher
//     number and starts from the beginning with a new file. A failed sync isn't repeated on its
//     descriptor, since the kernel reports a lost write once and then takes the page for clean.
//
// Hence any valid copy may be taken. If one is damaged, the other is as new as anything shown, even
// if its number is lower: the higher one was shown only if both copies had it. Load takes the valid
// copy with the highest number, which loses least. That copy may be the only one of its number, and
// its name may not be on the disk yet. So what Load returns is shown only after a Save, or after
// Settle, which syncs the directory. After Settle it is durable once, not twice.
//
// Two copies that are both damaged can't be told from a forgery and are never used in part: the
// caller sets them aside and starts from nothing. An old pair of copies, put back from a backup, is
// valid and can't be told from a new one.
package checkpoint
