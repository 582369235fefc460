package connect

import (
	"context"
	"errors"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/filewatch"
)

// passwordLogin logs in with the password that its file holds at the moment.
type passwordLogin struct {
	name     string
	password *filewatch.Value[sasl.Mechanism]
}

// newPasswordLogin returns the login by plain or scram.
func newPasswordLogin(c config.SASL, o Options) (sasl.Mechanism, error) {
	m, err := passwordMechanism(c, string(c.Password))
	if err != nil || c.PasswordFile == "" || c.FixedPassword {
		return m, err
	}
	password, err := filewatch.Watch(o.Files, filewatch.Files[sasl.Mechanism]{
		Name: "kafka.sasl.password_file", Paths: []string{c.PasswordFile},
		Parse: func(contents [][]byte) (sasl.Mechanism, error) {
			secret, err := o.oneSecret("kafka.sasl.password_file", contents[0])
			if err != nil {
				return nil, err
			}
			return passwordMechanism(c, secret)
		},
	})
	if err != nil {
		return nil, err
	}
	return &passwordLogin{m.Name(), password}, nil
}

func passwordMechanism(c config.SASL, password string) (sasl.Mechanism, error) {
	algorithm := scram.SHA256
	switch c.Mechanism {
	case config.Plain:
		return plain.Mechanism{Username: c.Username, Password: password}, nil
	case config.ScramSHA512:
		algorithm = scram.SHA512
	}
	m, err := scram.Mechanism(algorithm, c.Username, password)
	if err != nil {
		// The library's error shows the password.
		return nil, errors.New("kafka.sasl.username, kafka.sasl.password_file: expected texts without control characters (RFC 4013)")
	}
	return m, nil
}

// Name returns the mechanism's name.
func (l *passwordLogin) Name() string { return l.name }

// Start begins an exchange with the current password. It looks at the file first: brokers
// reject the old password from the moment that it was changed there.
func (l *passwordLogin) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	l.password.Refresh()
	return l.password.Get().Start(ctx)
}
