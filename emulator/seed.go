package emulator

import (
	"errors"
	"fmt"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
	"github.com/clientevents/clientevents/emulator/internal/talent"
	"github.com/clientevents/clientevents/internal/discovery"
	"github.com/clientevents/clientevents/internal/terminal"
)

// LoadSeed creates the resources of a JSON document,
//
//	{"tenants": [Tenant, …], "companies": [Company, …], "jobs": [Job, …]}
//
// in the messages of v4. Each has a name, whose last segment becomes its ID;
// companies and jobs of a default tenant are in projects/P/tenants/default.
// Resources whose names exist already do not change. An error names the first
// resource that can't be created.
func (e *Emulator) LoadSeed(document []byte) error {
	v := resourceVersion("v4").dialect()
	decoder := protojson.NewDecoder()
	decoder.Reset(document)
	seed, fault := decoder.ReadObject(v.API, seedSchema)
	if fault != nil {
		return errors.New(terminal.Printable(fault.Message))
	}
	for _, kind := range []struct {
		field  string
		create func(*talent.Dialect, talent.Object) *talent.Error
	}{
		{"tenants", e.catalog.SeedTenant},
		{"companies", e.catalog.SeedCompany},
		{"jobs", e.catalog.SeedJob},
	} {
		list, _ := seed[kind.field].([]any)
		for i, element := range list {
			if err := kind.create(v, element.(talent.Object)); err != nil {
				return fmt.Errorf("%s[%d]: %s", kind.field, i, terminal.Printable(err.Message))
			}
		}
	}
	return e.catalog.Sync()
}

// seedSchema describes the document by the messages of v4.
var seedSchema = &discovery.Schema{Type: "object", Properties: map[string]*discovery.Schema{
	"tenants":   {Type: "array", Items: &discovery.Schema{Ref: "Tenant"}},
	"companies": {Type: "array", Items: &discovery.Schema{Ref: "Company"}},
	"jobs":      {Type: "array", Items: &discovery.Schema{Ref: "Job"}},
}}

// resourceVersion returns the version of that name.
func resourceVersion(name string) *resources {
	for _, v := range resourceVersions {
		if v.version == name {
			return v
		}
	}
	panic("emulator: there is no version " + name)
}
