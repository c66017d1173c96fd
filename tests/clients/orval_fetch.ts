// Sends the requests of orval's client to the service under test, as its user, and parses the body according to its content type.

import { base, user } from "./scenario";

export async function request<T>(url: string, options: RequestInit): Promise<T> {
  const response = await fetch(base + url, { ...options, headers: { ...options.headers, "X-User-Id": user } });
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  return { data: isJson ? await response.json() : await response.blob(), status: response.status, headers: response.headers } as T;
}
