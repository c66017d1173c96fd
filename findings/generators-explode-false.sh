#!/usr/bin/env bash
# orval and openapi-python-client ignore `explode: false` of an array in the query: they send the parameter once for each item.
# OpenAPI (3.1, Parameter Object) requires one parameter with commas. So a service that declares such an array must also accept
# repeated parameters.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > api.yaml <<'YAML'
openapi: 3.1.0
info: {title: Lists, version: 1.0.0}
paths:
  /things:
    get:
      operationId: list_things
      parameters:
        - {name: tags, in: query, style: form, explode: false, schema: {type: array, items: {type: string}}}
      responses:
        '200': {description: OK, content: {application/json: {schema: {type: string}}}}
YAML
python3 -m venv python
python/bin/pip install --quiet openapi-python-client==0.29.1
python/bin/openapi-python-client generate --path api.yaml --output-path client > /dev/null 2>&1
echo "openapi-python-client 0.29.1"
PYTHONPATH=client python/bin/python - <<'PYTHON' | tee python.out
import httpx
from lists_client.api.default.list_things import _get_kwargs
arguments = _get_kwargs(tags=["a", "b"])
print(httpx.Request(arguments["method"].upper(), "http://example.org" + arguments["url"], params=arguments["params"]).url)
PYTHON
npm install --silent --no-audit --no-fund orval@7.13.2 > /dev/null
npx orval --input api.yaml --output client.ts --client fetch > /dev/null
echo "orval 7.13.2"
# Node can run the client after esbuild removes the types.
node - <<'NODE' | tee node.out
const source = require('fs').readFileSync('client.ts', 'utf8');
const { transformSync } = require('esbuild');
const script = transformSync(source, { loader: 'ts', format: 'cjs' }).code;
const module_ = { exports: {} };
new Function('module', 'exports', 'require', script)(module_, module_.exports, require);
console.log(module_.exports.getListThingsUrl({ tags: ['a', 'b'] }));
NODE
grep -q 'tags=a&tags=b' python.out
grep -q 'tags=a&tags=b' node.out
