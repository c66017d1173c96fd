// The tus peer of the benchmark of upload methods: `@tus/server`, which stores files in the S3 bucket of the benchmark.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

// BENCH_TUS_SERVER is the folder that contains node_modules.
const { resolve } = createRequire(`${process.env.BENCH_TUS_SERVER}/`);
const { Server } = await import(pathToFileURL(resolve('@tus/server')));
const { S3Store } = await import(pathToFileURL(resolve('@tus/s3-store')));

const datastore = new S3Store({
  s3ClientConfig: {
    bucket: process.env.S3_BUCKET,
    endpoint: process.env.S3_ENDPOINT_URL,
    region: process.env.AWS_REGION,
    forcePathStyle: true,
  },
});
const tus = new Server({ path: '/files', datastore });

const server = createServer((request, response) => {
  if (request.url === '/health') response.end();
  else tus.handle(request, response);
});
server.listen(Number(process.env.PORT), '127.0.0.1');
