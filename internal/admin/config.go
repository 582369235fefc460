package admin

import (
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/reload"
)

// Configuration describes the configuration in force in /status.
type Configuration struct {
	// Hash is that of clientevents_config_info.
	Hash string `json:"hash"`
	// Reload is the last reload.
	Reload reload.Status `json:"last_reload"`
}

// Effective is what /config answers: the configuration in force, without secrets.
type Effective struct {
	Configuration

	Settings []config.Shown `json:"settings"`
}

func (m *monitor) configured() Configuration {
	return Configuration{Hash: m.reloader.Config().Hash(), Reload: m.reloader.Status()}
}

func (m *monitor) configuration() Effective {
	e := Effective{m.configured(), m.reloader.Config().Show()}
	m.config.Secrets.Strings(&e)
	return e
}
