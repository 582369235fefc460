// Package emulatorgrpc serves the emulator over gRPC, the default transport of
// Google's client libraries for Java, Python, Go, PHP, Ruby and C#.
//
// A call becomes the HTTP request that the method's google.api.http annotation
// defines; the response becomes the call's. So both transports share one
// implementation: rules, errors with their details, faults and quotas are the
// same. It is a separate module, so that programs without gRPC do not link it.
//
//	emu := emulator.New(emulator.Options{})
//	server := &http.Server{Handler: emulatorgrpc.Handler(emu), Protocols: emulatorgrpc.Protocols()}
package emulatorgrpc
