package example

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// WebhookSecret returns a secret for webhooks, in the form of Standard Webhooks.
func WebhookSecret() string {
	secret := make([]byte, 24)
	_, _ = rand.Read(secret) // It never fails.
	return "whsec_" + base64.StdEncoding.EncodeToString(secret)
}

// SendWebhook sends a webhook as Standard Webhooks says, signed with the secret. It returns the
// status of the answer.
func SendWebhook(url, secret string, body []byte) (status string, err error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return "", fmt.Errorf("the secret of webhooks: %w", err)
	}
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	id, at := "msg_"+rand.Text(), strconv.FormatInt(time.Now().Unix(), 10)
	sum := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(sum, "%s.%s.%s", id, at, body)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", at)
	req.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(sum.Sum(nil)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	_ = res.Body.Close()
	return res.Status, nil
}
