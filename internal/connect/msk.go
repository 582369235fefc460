package connect

import (
	"context"
	"time"

	"github.com/aws/aws-msk-iam-sasl-signer-go/signer"
	"golang.org/x/oauth2"

	"github.com/clientevents/clientevents/internal/googleauth"
)

// mskTimeout bounds reading AWS credentials, which may take requests to AWS.
const mskTimeout = 15 * time.Second

// mskToken returns a source of tokens for Amazon MSK: a URL that is signed with the
// credentials of the AWS default chain and valid for 15 minutes
// (https://github.com/aws/aws-msk-iam-sasl-signer-go).
func mskToken(region string) getToken {
	return func(ctx context.Context) (*oauth2.Token, error) {
		ctx, cancel := context.WithTimeout(ctx, mskTimeout)
		defer cancel()
		text, expiry, err := signer.GenerateAuthToken(ctx, region)
		if err != nil {
			return nil, &googleauth.Error{Result: googleauth.Unusable, Err: err}
		}
		return &oauth2.Token{AccessToken: text, Expiry: time.UnixMilli(expiry)}, nil
	}
}
