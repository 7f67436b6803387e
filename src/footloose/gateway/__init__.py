"""Where users reach a site: HTTP/1.1, redirects, WebSockets and live topics. Runs inside a worker process."""
