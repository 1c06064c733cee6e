package postgres

import (
	"testing"
	"time"
)

// A node that joins again while it stores a policy must not lose that: callbacks come to refer to it.
func TestPolicyThatIsStoredWhileTheNodeJoinsIsUsed(t *testing.T) {
	t.Parallel()
	n := newPatientNodes(t, time.Minute)
	uses := func(s *Store) (yes bool) {
		hash := n.policy.Hash()
		if err := n.one.pool.QueryRow(t.Context(), n.one.sql(`SELECT EXISTS (SELECT 1 FROM @uses WHERE node = $1 AND hash = $2)`), int64(s.Node()), hash[:]).Scan(&yes); err != nil {
			t.Error(err)
		}
		return yes
	}
	other := n.open()
	was := n.two.Node()
	n.two.members.joining.Lock()
	stored := make(chan error, 1)
	go func() { stored <- n.two.PutPolicy(t.Context(), n.policy) }()
	n.eventually("storing the policy", func() bool { return n.two.policies.find(n.policy.Hash()) != nil })
	for _, self := range []*Store{other, n.two} {
		n.two.members.mu.Lock()
		if n.two.members.self = was; self == other {
			n.two.members.self = other.Node()
		}
		n.two.members.mu.Unlock()
		if self == other {
			n.two.members.joining.Unlock()
			if err := <-stored; err != nil {
				t.Fatal(err)
			}
			if !uses(other) {
				t.Error("the node that this process has become does not use the policy")
			}
		}
	}
}
