"""HTTP: routes as data, one pipeline of checks, problems, OpenAPI, connections, pages."""
