// Package checkpoint keeps one opaque payload durably in a directory, in two copies.
//
// Whoever shows numbers to others must not show smaller ones after a crash. So a payload is saved
// before what it holds is shown, and "saved" means durable twice: when Save has returned nil, the
// files state.a and state.b both hold the payload, and both their content and their names are on
// the disk as far as fsync(2) reaches. One of the two may then be lost to a bad sector, a stray
// editor or a restored backup, and nothing that was shown is lost.
//
// Save numbers each attempt, also one that fails, and for state.a and then for state.b it writes
// state.tmp, syncs it and renames it over the copy; in the end it syncs the directory. No copy is
// ever written in place, and none is replaced by what isn't on the disk yet. Let n be the last
// number whose Save returned nil, 0 if there is none: what was shown is n or older. The claim is
// that at every moment, be it that the process is killed then or that the machine loses its power,
// each copy that isn't damaged is n or a later attempt, whole. It holds when Save n returns, as
// both copies are n, durably; and each step of a later attempt m keeps it:
//
//   - state.tmp, in any condition, is never read, and the next Save removes it. The copies are what they were.
//   - A rename puts m, whole and synced, in the place of n or later. After a power cut those renames that no sync of the directory followed
//     have reached the disk or not, in any combination, so each copy is m or what it was.
//   - The sync of the directory makes both m.
//   - An attempt that fails anywhere leaves what these steps left. The next one has a higher number and starts from the beginning with a new
//     file: a sync that has failed isn't repeated on its descriptor, as the kernel reports a lost write once and then takes the page for clean.
//
// Hence any valid copy may be taken. If one is damaged the other is as new as anything shown, even
// where its number is the lower one, since the higher one was shown only if both copies had it.
// Load takes the valid copy with the highest number, which loses least. That copy may be the only
// one of its number, and its name may not be on the disk yet, so what Load returns is only to be
// shown after a Save, or after Settle, which syncs the directory; it is durable once then, not
// twice.
//
// Two copies that are both damaged can't be told from a forgery, and are never used in part: the
// caller sets them aside and starts from nothing. An old pair of copies, put back from a backup, is
// valid and can't be told from a new one.
package checkpoint
