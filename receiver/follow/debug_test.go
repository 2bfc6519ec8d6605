package follow

import (
	"fmt"
	"os"
)

func init() {
	if os.Getenv("DEBUGPLAN") != "" {
		debugPlan = func(path string, f *facts, a action) {
			fmt.Printf("PLAN %s role %d size %d rotated %v older %v first %v stamped %v grown %v -> %d at %d copy %v of %d\n", path, f.role, f.size, f.rotated, f.older, f.first, f.stamped, f.grown, a.verdict, a.at, a.copy, a.of.Inode)
			for _, k := range f.others {
				fmt.Printf("   kin %d rel %d at %d exact %v lost %v apart %v done %v gone %v extends %v stale %v ahead %v elder %v old %v off %d\n", k.id.Inode, k.relation, k.at, k.exact, k.lost, k.apart, k.done, k.gone, k.extends, k.stale, k.ahead, k.elder, k.old, k.of.Offset)
			}
		}
	}
}
