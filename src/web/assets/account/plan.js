// What a plan includes, in words.

import { texts } from "../texts.js";

const words = texts.plans;

/** The features that a plan has or has not, as the API names them. */
export const FEATURES = ["original", "expiring_links", "custom_sizes", "imports"];

/** Returns what the features of a plan include, without its quotas; null has all. */
export function includes(features) {
  if (!features) return [words.everything];
  const { thumbnails } = features;
  const included = FEATURES.filter((name) => features[name]).map((name) => words[name]);
  return [thumbnails.length > 0 ? words.thumbnailsOf(thumbnails.join(", ")) : words.noThumbnails, ...included];
}
