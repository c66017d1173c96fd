import * as api from "./orval/client";
import { run, user } from "./scenario";

/** Returns the data of a response with the expected status, and throws for any other status. */
function data<R extends { status: number; data: unknown }, S extends R["status"]>(response: R, status: S): Extract<R, { status: S }>["data"] {
  if (response.status !== status) throw new Error(`${response.status}: ${JSON.stringify(response.data)}`);
  return response.data as Extract<R, { status: S }>["data"];
}

run("orval", {
  async upload(file, title, tags) {
    return data(await api.uploadImage({ file, title, tags, user_id: user }), 200).image;
  },
  async list(tags, limit, pageToken) {
    const page = data(await api.listImages({ tags, limit, page_token: pageToken }), 200);
    return { ids: page.images.map((image) => image.image_id), next: page.next_page_token };
  },
  async errorForMissingImage(imageId) {
    return data(await api.getImage(imageId), 404);
  },
  async thumbnail(imageId) {
    return data(await api.getThumbnail(imageId, "small"), 200);
  },
  async import(url) {
    return data(await api.createImport({ urls: [url], user_id: user }), 202).jobId;
  },
  async importStatus(jobId) {
    const job = data(await api.getImport(jobId), 200);
    return { status: job.status, pending: job.uploaded.pending };
  },
  async remove(imageId) {
    return data(await api.deleteImage(imageId), 200).image_id;
  },
}).catch((error) => {
  console.error("orval:", error);
  process.exitCode = 1;
});
