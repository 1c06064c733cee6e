package postgrestest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// Authority issues certificates to servers.
type Authority struct {
	// PEM is its own certificate.
	PEM  []byte
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "authority of tests"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &Authority{PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), cert: cert, key: key}
}

// issue makes a certificate for a server, and its key.
func (a *Authority) issue(name string) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), err
}

// NewTLSCluster returns a cluster whose server listens on a port of this machine, with a
// certificate for that name. It skips the test where there is no PostgreSQL.
func NewTLSCluster(t testing.TB, a *Authority, name string) *Cluster {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	options := []string{"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(port), "ssl=on", "ssl_cert_file=../cert.pem", "ssl_key_file=../key.pem"}
	c, err := newCluster(options, func(c *Cluster) *exec.Cmd {
		if err := c.certify(a, name); err != nil {
			t.Fatal(err)
		}
		return c.initdb()
	})
	need(t, "PostgreSQL", err)
	t.Cleanup(c.Stop)
	return c
}

// Certify gives the server another certificate, which is used for connections from here on.
func (c *Cluster) Certify(t testing.TB, a *Authority, name string) {
	t.Helper()
	if err := c.certify(a, name); err != nil {
		t.Fatal(err)
	}
	if err := c.Exec("SELECT pg_reload_conf()"); err != nil {
		t.Fatal(err)
	}
}

// certify writes a certificate and its key as the server's user, who alone may read that.
func (c *Cluster) certify(a *Authority, name string) error {
	cert, key, err := a.issue(name)
	if err != nil {
		return err
	}
	for file, content := range map[string][]byte{"cert.pem": cert, "key.pem": key} {
		cmd := exec.Command("sh", "-c", `umask 077; cat >"$0"`, c.dir+"/"+file) //nolint:gosec // words of ours
		c.as(cmd)
		cmd.Stdin = bytes.NewReader(content)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	return nil
}

// TLS returns the URL at the server's port.
func (c *Cluster) TLS(query string) string {
	return fmt.Sprintf("postgres://%s@localhost:%d/postgres?%s", user, c.port, query)
}
