package postgrestest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// NewPooler returns the URL of a PgBouncer in front of the cluster, which shares connections
// between transactions and ends with the test. It skips the test where there is no PgBouncer.
func (c *Cluster) NewPooler(t testing.TB) (url string) {
	t.Helper()
	bin, err := exec.LookPath("pgbouncer")
	if err != nil {
		if _, failed := os.Stat("/usr/sbin/pgbouncer"); failed == nil {
			bin, err = "/usr/sbin/pgbouncer", nil
		}
	}
	need(t, "PgBouncer", err)
	dir, err := os.MkdirTemp(shortDir(), "cbpb")
	if err != nil {
		t.Fatal(err)
	}
	end, err := c.pool(bin, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	return urlAt(dir, c.port)
}

// pool starts a pooler, which goes with all that it has in the directory if the tests are killed,
// too.
func (c *Cluster) pool(bin, dir string) (end func(), err error) {
	config := fmt.Sprintf("[databases]\n* = host=%s port=%d\n[pgbouncer]\nlisten_addr =\nlisten_port = %d\nunix_socket_dir = %s\n"+
		"auth_type = trust\nauth_file = %s/users\npool_mode = transaction\nmax_client_conn = 1000\ndefault_pool_size = 30\n", c.dir, c.port, c.port, dir, dir)
	// Nothing in it is secret, and its user is another one.
	err = errors.Join(os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o644), //nolint:gosec // as above
		os.WriteFile(filepath.Join(dir, "users"), []byte(`"`+user+`" ""`), 0o644)) //nolint:gosec // as above
	as, failed := serverUser(dir)
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	cmd := exec.Command("sh", "-c", `"$@" >"$0/log" 2>&1 & cat >/dev/null; kill $!; wait $!; rm -rf "$0"`, dir, bin, filepath.Join(dir, "config")) //nolint:gosec // words of ours
	as(cmd)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	end = func() {
		_ = stdin.Close()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}
	for deadline := time.Now().Add(startWithin); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("unix", filepath.Join(dir, fmt.Sprintf(".s.PGSQL.%d", c.port))); err == nil {
			return end, conn.Close()
		}
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	end()
	return nil, fmt.Errorf("pgbouncer did not start within %s: %s", startWithin, log)
}
