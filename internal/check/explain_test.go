package check

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
)

// TestExplainMissingPermission: the error remains, and says what to do.
func TestExplainMissingPermission(t *testing.T) {
	denied := fmt.Errorf("fetch from t/0 at 0: %w", kafka.TopicAuthorizationFailed)
	got := Explain(t.Context(), nil, nil, denied)
	if !errors.Is(got, kafka.TopicAuthorizationFailed) || !strings.HasPrefix(got.Error(), denied.Error()) || !strings.Contains(got.Error(), "ACLs in docs/operations.md") {
		t.Errorf("got %v, want the error and where the permissions are", got)
	}
}
