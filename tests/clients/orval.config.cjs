module.exports = {
  images: {
    input: "./openapi.yaml",
    output: {
      target: "./orval/client.ts",
      client: "fetch",
      // By default, orval parses every response body as JSON.
      override: { mutator: { path: "./orval_fetch.ts", name: "request" } },
    },
  },
};
