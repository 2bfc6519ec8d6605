package metrics

// Limits are the max connections of rsyncd.conf, by the module's label.
type Limits map[string]Limit

// A Limit is how many sessions a module lets in at one time.
type Limit struct {
	MaxConnections int
	LockFile       string
}

// Taken returns how many places of the limited modules are taken at a host, from the number of
// sessions that run in each of its modules. rsyncd takes the first free place in the module's lock
// file (connection.c: claim_connection). So sessions in other modules with that file take them, too.
// After some of them have ended there can be a free place more than this says.
func (l Limits) Taken(active map[string]int) map[string]int {
	byFile, taken := map[string]int{}, map[string]int{}
	for module, n := range active {
		if limit, ok := l[module]; ok {
			byFile[limit.LockFile] += n
		}
	}
	for module := range active {
		if limit, ok := l[module]; ok {
			taken[module] = min(limit.MaxConnections, byFile[limit.LockFile])
		}
	}
	return taken
}
