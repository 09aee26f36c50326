package install

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"runtime"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hc-install/product"
	"github.com/hashicorp/hc-install/releases"
	"github.com/opentofu/tofudl/branding"

	"github.com/stackreeve/stackreeve/schema"
)

// mirror is the address that is used instead of an engine's maker's; "" for none.
func (i *installation) mirror() string {
	return strings.TrimRight(i.Mirrors[i.request.Provisioner], "/")
}

// numbers understands version numbers; what is none is left out.
func numbers(list []string) []*version.Version {
	var out []*version.Version
	for _, s := range list {
		if v, err := version.NewVersion(s); err == nil {
			out = append(out, v)
		}
	}
	return out
}

// hashicorp installs Terraform, by HashiCorp's own library: it checks checksums and their
// signature.
type hashicorp struct{ *installation }

func (h hashicorp) versions(ctx context.Context) ([]*version.Version, error) {
	list, err := (&releases.Versions{Product: product.Terraform, ListTimeout: patience, ApiBaseURL: h.mirror(), HTTPClient: h.client()}).List(ctx)
	if err = notThere(err); errors.Is(err, errNotThere) {
		err = fmt.Errorf("%w: %s", err, noList)
	}
	if err != nil {
		return nil, err
	}
	var out []*version.Version
	for _, s := range list {
		if v, ok := s.(*releases.ExactVersion); ok {
			out = append(out, v.Version)
		}
	}
	return out, nil
}

func (h hashicorp) fetch(ctx context.Context, number, to string) error {
	v, err := version.NewVersion(number)
	if err != nil {
		return err
	}
	release := &releases.ExactVersion{Product: product.Terraform, Version: v, InstallDir: to, Timeout: patience,
		ApiBaseURL: h.mirror(), HTTPClient: h.client(), ArmoredPublicKey: h.Keys[schema.Terraform]}
	var last lastLine
	release.SetLogger(log.New(&last, "", 0))
	_, err = release.Install(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		// The library forgets why it unpacked nothing (the removal of its scratch file
		// takes the error's place), and only its log tells.
		return fmt.Errorf("the archive could not be used: %s: nothing was installed", last.said)
	}
	return notThere(err)
}

// notThere makes an error of the library's, in which it is a text that a server has no
// such file, one that is errNotThere.
func notThere(err error) error {
	if err == nil {
		return nil
	}
	before, found := strings.CutSuffix(strings.TrimSpace(err.Error()), errNotThere.Error())
	if !found {
		return err
	}
	return fmt.Errorf("%s%w", before, errNotThere)
}

// lastLine keeps the last line of a log that tells of trouble.
type lastLine struct{ said string }

func (l *lastLine) Write(p []byte) (int, error) {
	line := strings.TrimSpace(string(p))
	if l.said == "" || !strings.HasPrefix(line, "deleted ") && !strings.HasPrefix(line, "changing ") {
		l.said = line
	}
	return len(p), nil
}

// opentofu installs OpenTofu from the archives of its releases. The key that signs their
// checksums is the one that OpenTofu's own library holds.
type opentofu struct{ *installation }

func (o opentofu) versions(ctx context.Context) ([]*version.Version, error) {
	url := branding.DefaultDownloadAPIURL
	if m := o.mirror(); m != "" {
		url = m + "/api.json"
	}
	var answer struct {
		Versions []struct {
			ID string `json:"id"`
		} `json:"versions"`
	}
	if err := o.list(ctx, url, &answer); err != nil {
		return nil, err
	}
	var list []string
	for _, v := range answer.Versions {
		list = append(list, v.ID)
	}
	return numbers(list), nil
}

func (o opentofu) fetch(ctx context.Context, number, to string) error {
	base := cmp.Or(o.mirror(), "https://github.com/opentofu/opentofu/releases/download") + "/v" + number + "/tofu_" + number + "_"
	sums, err := o.document(ctx, base+"SHA256SUMS")
	if err != nil {
		return err
	}
	signature, err := o.document(ctx, base+"SHA256SUMS.gpgsig")
	if err != nil {
		return err
	}
	if err := signed(cmp.Or(o.Keys[schema.OpenTofu], branding.DefaultGPGKey), sums, signature); err != nil {
		return fmt.Errorf("%sSHA256SUMS: %w: nothing was installed", base, err)
	}
	return o.archive(ctx, base+runtime.GOOS+"_"+runtime.GOARCH+".tar.gz", sums, "", to)
}

// signed checks a detached signature.
func signed(key string, text, signature []byte) error {
	ring, err := openpgp.ReadArmoredKeyRing(strings.NewReader(key))
	if err != nil {
		return fmt.Errorf("the key of signatures: %w", err)
	}
	if _, err := openpgp.CheckDetachedSignature(ring, bytes.NewReader(text), bytes.NewReader(signature), nil); err != nil {
		return fmt.Errorf("its signature: %w", err)
	}
	return nil
}

// pulumi installs Pulumi with its language hosts from the archives of its releases.
type pulumi struct{ *installation }

// The addresses of Pulumi's releases.
const (
	pulumiArchives = "https://get.pulumi.com/releases/sdk"
	pulumiNewest   = "https://www.pulumi.com/latest-version"
	pulumiReleases = "https://api.github.com/repos/pulumi/pulumi/releases?per_page=100&page=%d"
)

// maxPages is how many pages of a hundred releases are looked through.
const maxPages = 10

func (p pulumi) versions(ctx context.Context) ([]*version.Version, error) {
	var list []string
	if m := p.mirror(); m != "" {
		if err := p.list(ctx, m+"/versions.json", &list); err != nil {
			return nil, err
		}
		return numbers(list), nil
	}
	if p.request.Constraint == "" {
		b, err := p.document(ctx, pulumiNewest)
		return numbers([]string{strings.TrimSpace(string(b))}), err
	}
	for page := 1; page <= maxPages; page++ {
		var answer []struct {
			Tag string `json:"tag_name"`
		}
		if err := p.list(ctx, fmt.Sprintf(pulumiReleases, page), &answer); err != nil {
			return nil, err
		}
		for _, r := range answer {
			list = append(list, strings.TrimPrefix(r.Tag, "v"))
		}
		// They come newest first: the first page that has one that fits has the newest.
		if len(answer) == 0 || newestOf(numbers(list), p.request.allows) != nil {
			break
		}
	}
	return numbers(list), nil
}

func (p pulumi) fetch(ctx context.Context, number, to string) error {
	base := cmp.Or(p.mirror(), pulumiArchives)
	sums, err := p.document(ctx, base+"/pulumi-"+number+"-checksums.txt")
	if err != nil {
		return err
	}
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	return p.archive(ctx, base+"/pulumi-v"+number+"-"+runtime.GOOS+"-"+arch+".tar.gz", sums, "pulumi", to)
}
