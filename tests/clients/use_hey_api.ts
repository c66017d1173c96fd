import * as api from "./hey_api";
import { client } from "./hey_api/client.gen";
import { base, unwrap, run, user } from "./scenario";

client.setConfig({ baseUrl: base, auth: (scheme) => (scheme.type === "apiKey" ? user : undefined) });

run("hey-api", {
  async upload(file, title, tags) {
    const { data, error } = await api.uploadImage({ body: { file, title, tags, user_id: user } });
    return unwrap(data, error).image;
  },
  async list(tags, limit, pageToken) {
    const { data, error } = await api.listImages({ query: { tags, limit, page_token: pageToken } });
    const page = unwrap(data, error);
    return { ids: page.images.map((image) => image.image_id), next: page.next_page_token };
  },
  async errorForMissingImage(imageId) {
    return unwrap((await api.getImage({ path: { image_id: imageId } })).error);
  },
  async thumbnail(imageId) {
    const { data, error } = await api.getThumbnail({ path: { image_id: imageId, size: "small" } });
    return unwrap(data, error);
  },
  async import(url) {
    const { data, error } = await api.createImport({ body: { urls: [url], user_id: user } });
    return unwrap(data, error).jobId;
  },
  async importStatus(jobId) {
    const { data, error } = await api.getImport({ path: { jobId } });
    const job = unwrap(data, error);
    return { status: job.status, pending: job.uploaded.pending };
  },
  async remove(imageId) {
    const { data, error } = await api.deleteImage({ path: { image_id: imageId } });
    return unwrap(data, error).image_id;
  },
}).catch((error) => {
  console.error("hey-api:", error);
  process.exitCode = 1;
});
