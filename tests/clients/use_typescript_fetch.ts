import { Configuration, ImagesApi, ImportsApi, ResponseError } from "./typescript_fetch";
import type { ApiError } from "./typescript_fetch";
import { base, run, user } from "./scenario";

const configuration = new Configuration({ basePath: base, apiKey: user });
const images = new ImagesApi(configuration);
const imports = new ImportsApi(configuration);

run("typescript-fetch", {
  async upload(file, title, tags) {
    const { image } = await images.uploadImage({ file, title, tags, userId: user });
    return { image_id: image.imageId, caption_status: image.captionStatus, description: image.description };
  },
  async list(tags, limit, pageToken) {
    const page = await images.listImages({ tags, limit, pageToken });
    return { ids: page.images.map((image) => image.imageId), next: page.nextPageToken };
  },
  async errorForMissingImage(imageId) {
    try {
      await images.getImage({ imageId });
    } catch (error) {
      if (error instanceof ResponseError) return (await error.response.json()) as ApiError;
      throw error;
    }
    throw new Error("the image was found");
  },
  thumbnail: (imageId) => images.getThumbnail({ imageId, size: "small" }),
  async import(url) {
    return (await imports.createImport({ createImportRequest: { urls: [url], userId: user } })).jobId;
  },
  async importStatus(jobId) {
    const job = await imports.getImport({ jobId });
    return { status: job.status, pending: job.uploaded.pending };
  },
  async remove(imageId) {
    return (await images.deleteImage({ imageId })).imageId;
  },
}).catch((error) => {
  console.error("typescript-fetch:", error);
  process.exitCode = 1;
});
