// The script of the page. The checks call the functions that it adds to the window.

import AwsS3 from "@uppy/aws-s3";
import Uppy from "@uppy/core";
import Tus from "@uppy/tus";

async function uppyWithFile(name) {
  const uppy = new Uppy();
  const data = await (await fetch(`/files/${name}`)).blob();
  uppy.addFile({ name, type: data.type, data });
  return uppy;
}

/** Starts an upload with tus. The state of the upload is in `window.upload`. */
window.startTus = async (name, service, user, options = {}) => {
  const uppy = await uppyWithFile(name);
  const upload = { uppy, progress: 0, requests: [], errors: [] };
  uppy.setMeta({ title: "From a page", tags: "sea, sun" });
  uppy.use(Tus, {
    endpoint: `${service}/uploads/tus`,
    headers: { "X-User-Id": user },
    retryDelays: [200, 500, 1000, 2000, 5000],
    onAfterResponse: (request, response) => {
      const offset = Number(response.getHeader("Upload-Offset"));
      upload.requests.push({ method: request.getMethod(), status: response.getStatus(), offset });
    },
    ...options,
  });
  uppy.on("upload-progress", (_, progress) => (upload.progress = progress.bytesUploaded));
  // Later, the response is empty, because the plugin aborts the request that has ended.
  uppy.on("upload-success", (_, response) => (upload.image = JSON.parse(response.body.xhr.responseText).image));
  uppy.on("upload-error", (_, error, response) => upload.errors.push({ message: error.message, body: response?.body?.xhr?.responseText }));
  upload.finished = uppy.upload();
  window.upload = upload;
};

window.reached = async (bytes) => {
  while (window.upload.progress < bytes) await new Promise((resolve) => setTimeout(resolve, 5));
};

/** Waits for the end of the upload. Returns its image, or the errors. */
window.finishTus = async () => {
  await window.upload.finished;
  const { image, requests, errors } = window.upload;
  return { image, requests, errors };
};

/** Uploads to the storage, with the form or with the URL. */
window.uploadToStorage = async (name, service, user, withForm) => {
  const uppy = await uppyWithFile(name);
  const ids = new Map();
  const errors = [];
  const send = async (path, body) => {
    const headers = { "X-User-Id": user, "Content-Type": "application/json" };
    const response = await fetch(`${service}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error((await response.json()).message);
    return response.json();
  };
  uppy.use(AwsS3, {
    shouldUseMultipart: false,
    generateObjectKey: (file) => file.id,
    signRequest: async ({ key }) => {
      const file = uppy.getFile(key);
      const upload = await send("/uploads", { file_name: file.name, file_size: file.size, content_type: file.type });
      ids.set(file.id, upload.id);
      return withForm ? upload.post : { url: upload.put.url, headers: { "Content-Type": upload.put.headers["Content-Type"] } };
    },
  });
  uppy.on("upload-error", (_, error) => errors.push(error.message));
  const { successful } = await uppy.upload();
  const completed = [];
  for (const file of successful) completed.push((await send(`/uploads/${ids.get(file.id)}/complete`, {})).image);
  return { image: completed[0], errors };
};

/** Runs a script that uploads `window.file`. Returns what it prints. */
window.runExample = async (path, name) => {
  const data = await (await fetch(`/files/${name}`)).blob();
  window.file = new File([data], name, { type: data.type });
  const printed = new Promise((resolve) => (console.log = console.error = resolve));
  await import(path);
  return printed;
};

window.isReady = true;
