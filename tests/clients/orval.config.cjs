module.exports = {
  images: {
    input: "./openapi.yaml",
    output: {
      target: "./orval/client.ts",
      client: "fetch",
      // orval's own fetch reads every body as JSON.
      override: { mutator: { path: "./orval_fetch.ts", name: "request" } },
    },
  },
};
