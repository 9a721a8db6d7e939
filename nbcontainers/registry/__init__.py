"""A client of registries: the OCI distribution-spec 1.1 and Docker's v2, on the standard library's http.client.

`settings` (which registries, how to reach them), `credentials` (who we are there) and `repository` (what can be
done) are for others; the rest is inside: `transport` and `tls` (bytes), `challenge` and `authorization` (401),
`endpoint` (one host: retries, redirects), `blob` and `upload` (content), `failure` (what went wrong, in words).
"""
