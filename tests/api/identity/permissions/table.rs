//! The permission tables: the status of each operation for each caller, and how many of another user's images it shows.
//!
//! The columns come in groups. Each column is one caller, or several callers who must get the same result:
//!
//! | group | column | the caller |
//! |---|---|---|
//! | `trusted` | | behind a gateway (`AUTH_MODE=trusted`), without an `Authorization` |
//! | | `-` | anonymous |
//! | | `own` `oth` `adm` `dis` | the user in `X-User-Id`: owner, others with and without account, administrator, disabled one |
//! | `req` | `any` | with `AUTH_MODE=required`, anonymous and each of these: the header is ignored |
//! | `owner` | | the account that owns the images; this and all later groups apply in both modes |
//! | | `own` | with an access token, or with e-mail address and password |
//! | | `key` | with an API key without scopes |
//! | | `rd` `up` `ad` | with a key with the scope `read`, `upload` or `admin` (which does not make an administrator) |
//! | `oth` | `oth` | another account |
//! | `admin` | | an administrator who does not own the images; the columns are the same as the owner's |
//! | `refused` | `dis` `exp` `bad` | a disabled account, an access token that has expired, invalid credentials |
//!
//! The operation is followed by the state of its resource. An image is `public`, `private`, `deleted` by its owner,
//! `taken down` by an administrator, or `unknown` (it does not exist). A collection has such a state if the path names
//! no image. A link that expires may be `used up`. The images of a share have the state, unless the path names none. Uploads and imports are `for owner`, for the caller's own user
//! (`self`), or for the user of a disabled account.

/// The status of each operation for each caller.
pub const STATUSES: &str = "
                                                  |trusted            |req|owner              |oth|admin              |refused
                                                  |  - own oth adm dis|any|own key  rd  up  ad|oth|own key  rd  up  ad|dis exp bad
GET /images                                       |200 200 200 200 403|200|200 200 200 403 403|200|200 200 200 403 403|401 401 401
GET /users/{user_id}/images                       |200 200 200 200 403|200|200 200 200 403 403|200|200 200 200 403 403|401 401 401
GET /tags/{tag}/images                            |200 200 200 200 403|200|200 200 200 403 403|200|200 200 200 403 403|401 401 401
GET /links                                        |200 200 200 200 403|200|200 200 200 403 403|200|200 200 200 403 403|401 401 401
GET /stats                                        |200 200 200 200 403|200|200 200 200 403 403|200|200 200 200 403 403|401 401 401

GET /images/{image_id} public                     |200 200 200 200 403|200|200 200 200 403 403|200|200 200 200 403 403|401 401 401
GET /images/{image_id} private                    |404 200 404 404 403|404|200 200 200 403 403|404|404 404 404 403 403|401 401 401
GET /images/{image_id} deleted                    |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401
GET /images/{image_id} unknown                    |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401
GET /images/{image_id}/download public            |200 200 200 200 403|200|200 200 200 403 403|200|200 200 200 403 403|401 401 401
GET /images/{image_id}/download private           |404 200 404 404 403|404|200 200 200 403 403|404|404 404 404 403 403|401 401 401
GET /images/{image_id}/download deleted           |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401
GET /images/{image_id}/download unknown           |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401
GET /images/{image_id}/thumbnails/{size} public   |200 200 200 200 403|200|200 200 200 403 403|200|200 200 200 403 403|401 401 401
GET /images/{image_id}/thumbnails/{size} private  |404 200 404 404 403|404|200 200 200 403 403|404|404 404 404 403 403|401 401 401
GET /images/{image_id}/thumbnails/{size} deleted  |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401
GET /images/{image_id}/thumbnails/{size} unknown  |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401
GET /images/{image_id}/thumbnail public           |200 200 200 200 403|200|200 200 200 403 403|200|200 200 200 403 403|401 401 401
GET /images/{image_id}/thumbnail private          |404 200 404 404 403|404|200 200 200 403 403|404|404 404 404 403 403|401 401 401
GET /images/{image_id}/thumbnail deleted          |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401
GET /images/{image_id}/thumbnail unknown          |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401
POST /images/{image_id}/urls public               |200 200 200 200 403|200|200 200 200 403 403|200|200 200 200 403 403|401 401 401
POST /images/{image_id}/urls private              |404 200 404 404 403|404|200 200 200 403 403|404|404 404 404 403 403|401 401 401
POST /images/{image_id}/urls deleted              |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401
POST /images/{image_id}/urls unknown              |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401
GET /i/{image_id} public                          |200 200 200 200 403|200|200 200 200 403 403|200|200 200 200 403 403|401 401 401
GET /i/{image_id} private                         |404 200 404 404 403|404|200 200 200 403 403|404|404 404 404 403 403|401 401 401
GET /i/{image_id} deleted                         |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401
GET /i/{image_id} unknown                         |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401
GET /i/{image_id}.json public                     |200 200 200 200 403|200|200 200 200 403 403|200|200 200 200 403 403|401 401 401
GET /i/{image_id}.json private                    |404 200 404 404 403|404|200 200 200 403 403|404|404 404 404 403 403|401 401 401
GET /i/{image_id}.json deleted                    |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401
GET /i/{image_id}.json unknown                    |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401
GET /i/{image_id}/{name} public                   |200 200 200 200 403|200|200 200 200 403 403|200|200 200 200 403 403|401 401 401
GET /i/{image_id}/{name} private                  |404 200 404 404 403|404|200 200 200 403 403|404|404 404 404 403 403|401 401 401
GET /i/{image_id}/{name} deleted                  |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401
GET /i/{image_id}/{name} unknown                  |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401

POST /images for owner                            |200 200 403 403 403|401|200 200 403 200 403|403|403 403 403 403 403|401 401 401
POST /images for self                             |200 200 200 200 403|401|200 200 403 200 403|200|200 200 403 200 403|401 401 401
POST /images for disabled                         |403 403 403 403 403|401|403 403 403 403 403|403|403 403 403 403 403|401 401 401
PATCH /images/{image_id} public                   |401 200 403 403 403|401|200 200 403 200 403|403|403 403 403 403 403|401 401 401
PATCH /images/{image_id} private                  |401 200 404 404 403|401|200 200 403 200 403|404|404 404 403 404 403|401 401 401
PATCH /images/{image_id} deleted                  |401 404 404 404 403|401|404 404 403 404 403|404|404 404 403 404 403|401 401 401
PATCH /images/{image_id} unknown                  |401 404 404 404 403|401|404 404 403 404 403|404|404 404 403 404 403|401 401 401
POST /images/{image_id}/caption public            |401 202 403 403 403|401|202 202 403 202 403|403|403 403 403 403 403|401 401 401
POST /images/{image_id}/caption private           |401 202 404 404 403|401|202 202 403 202 403|404|404 404 403 404 403|401 401 401
POST /images/{image_id}/caption deleted           |401 404 404 404 403|401|404 404 403 404 403|404|404 404 403 404 403|401 401 401
POST /images/{image_id}/caption unknown           |401 404 404 404 403|401|404 404 403 404 403|404|404 404 403 404 403|401 401 401
DELETE /images/{image_id} public                  |401 200 403 403 403|401|200 200 403 200 403|403|200 200 403 403 200|401 401 401
DELETE /images/{image_id} private                 |401 200 404 404 403|401|200 200 403 200 403|404|200 200 403 404 200|401 401 401
DELETE /images/{image_id} deleted                 |401 410 403 403 403|401|410 410 403 410 403|403|200 200 403 403 200|401 401 401
DELETE /images/{image_id} private deleted         |401 410 404 404 403|401|410 410 403 410 403|404|200 200 403 404 200|401 401 401
DELETE /images/{image_id} unknown                 |401 404 404 404 403|401|404 404 403 404 403|404|404 404 403 404 404|401 401 401
POST /images/{image_id}/restore public            |401 409 403 403 403|401|409 409 403 409 403|403|403 403 403 403 403|401 401 401
POST /images/{image_id}/restore private           |401 409 404 404 403|401|409 409 403 409 403|404|404 404 403 404 404|401 401 401
POST /images/{image_id}/restore deleted           |401 200 403 403 403|401|200 200 403 200 403|403|403 403 403 403 403|401 401 401
POST /images/{image_id}/restore private deleted   |401 200 404 404 403|401|200 200 403 200 403|404|404 404 403 404 404|401 401 401
POST /images/{image_id}/restore taken down        |401 403 403 403 403|401|403 403 403 403 403|403|200 200 403 403 200|401 401 401
POST /images/{image_id}/restore private taken down|401 403 404 404 403|401|403 403 403 403 403|404|204 204 403 404 204|401 401 401
POST /images/{image_id}/restore unknown           |401 404 404 404 403|401|404 404 403 404 403|404|404 404 403 404 404|401 401 401

GET /images/{image_id}/links public               |401 200 403 403 403|401|200 200 200 403 403|403|403 403 403 403 403|401 401 401
GET /images/{image_id}/links private              |401 200 404 404 403|401|200 200 200 403 403|404|404 404 404 403 403|401 401 401
GET /images/{image_id}/links unknown              |401 404 404 404 403|401|404 404 404 403 403|404|404 404 404 403 403|401 401 401
POST /images/{image_id}/links public              |401 201 403 403 403|401|201 201 403 201 403|403|403 403 403 403 403|401 401 401
POST /images/{image_id}/links private             |401 201 404 404 403|401|201 201 403 201 403|404|404 404 403 404 403|401 401 401
POST /images/{image_id}/links unknown             |401 404 404 404 403|401|404 404 403 404 403|404|404 404 403 404 403|401 401 401
DELETE /images/{image_id}/links/{token} public    |401 204 403 403 403|401|204 204 403 204 403|403|403 403 403 403 403|401 401 401
DELETE /images/{image_id}/links/{token} private   |401 204 404 404 403|401|204 204 403 204 403|404|404 404 403 404 403|401 401 401
DELETE /images/{image_id}/links/{token} unknown   |401 404 404 404 403|401|404 404 403 404 403|404|404 404 403 404 403|401 401 401
GET /view/{token} public                          |200 200 200 200 403|200|200 200 200 200 200|200|200 200 200 200 200|401 401 401
GET /view/{token} private                         |200 200 200 200 403|200|200 200 200 200 200|200|200 200 200 200 200|401 401 401
GET /view/{token} used up                         |403 403 403 403 403|403|403 403 403 403 403|403|403 403 403 403 403|401 401 401
GET /view/{token} deleted                         |404 404 404 404 403|404|404 404 404 404 404|404|404 404 404 404 404|401 401 401
GET /view/{token} unknown                         |404 404 404 404 403|404|404 404 404 404 404|404|404 404 404 404 404|401 401 401

POST /uploads for owner                           |201 201 403 403 403|401|201 201 403 201 403|403|403 403 403 403 403|401 401 401
POST /uploads for self                            |201 201 201 201 403|401|201 201 403 201 403|201|201 201 403 201 403|401 401 401
POST /uploads for disabled                        |403 403 403 403 403|401|403 403 403 403 403|403|403 403 403 403 403|401 401 401
GET /uploads                                      |401 200 200 200 403|401|200 200 200 403 403|200|200 200 200 403 403|401 401 401
GET /uploads/{id}                                 |200 200 404 404 403|401|200 200 200 403 403|404|404 404 404 403 403|401 401 401
GET /uploads/{id} unknown                         |404 404 404 404 403|401|404 404 404 403 403|404|404 404 404 403 403|401 401 401
POST /uploads/{id}/complete                       |409 409 404 404 403|401|409 409 403 409 403|404|404 404 403 404 403|401 401 401
POST /uploads/{id}/complete unknown               |404 404 404 404 403|401|404 404 403 404 403|404|404 404 403 404 403|401 401 401
DELETE /uploads/{id}                              |204 204 404 404 403|401|204 204 403 204 403|404|404 404 403 404 403|401 401 401
DELETE /uploads/{id} unknown                      |404 404 404 404 403|401|404 404 403 404 403|404|404 404 403 404 403|401 401 401

POST /imports for owner                           |202 202 403 403 403|401|202 202 403 202 403|403|403 403 403 403 403|401 401 401
POST /imports for self                            |202 202 202 202 403|401|202 202 403 202 403|202|202 202 403 202 403|401 401 401
POST /imports for disabled                        |403 403 403 403 403|401|403 403 403 403 403|403|403 403 403 403 403|401 401 401
GET /imports                                      |401 200 200 200 403|401|200 200 200 403 403|200|200 200 200 403 403|401 401 401
GET /imports/{jobId}                              |404 200 404 404 403|401|200 200 200 403 403|404|404 404 404 403 403|401 401 401
GET /imports/{jobId} unknown                      |404 404 404 404 403|401|404 404 404 403 403|404|404 404 404 403 403|401 401 401
DELETE /imports/{jobId}                           |401 200 404 404 403|401|200 200 403 200 403|404|404 404 403 404 403|401 401 401
DELETE /imports/{jobId} unknown                   |401 404 404 404 403|401|404 404 403 404 403|404|404 404 403 404 403|401 401 401

GET /trash                                        |401 200 200 200 403|401|200 200 200 403 403|200|200 200 200 403 403|401 401 401
GET /collections                                  |401 200 200 200 403|401|200 200 200 403 403|200|200 200 200 403 403|401 401 401
POST /collections                                 |401 201 201 201 403|401|201 201 403 201 403|201|201 201 403 201 403|401 401 401
GET /collections/{name} public                    |401 200 403 403 403|401|200 200 200 403 403|403|403 403 403 403 403|401 401 401
GET /collections/{name} private                   |401 200 404 404 403|401|200 200 200 403 403|404|404 404 404 403 403|401 401 401
GET /collections/{name} unknown                   |401 404 404 404 403|401|404 404 404 403 403|404|404 404 404 403 403|401 401 401
PATCH /collections/{name} public                  |401 200 403 403 403|401|200 200 403 200 403|403|403 403 403 403 403|401 401 401
PATCH /collections/{name} private                 |401 200 404 404 403|401|200 200 403 200 403|404|404 404 403 404 403|401 401 401
PATCH /collections/{name} unknown                 |401 404 404 404 403|401|404 404 403 404 403|404|404 404 403 404 403|401 401 401
DELETE /collections/{name} public                 |401 204 403 403 403|401|204 204 403 204 403|403|403 403 403 403 403|401 401 401
DELETE /collections/{name} private                |401 204 404 404 403|401|204 204 403 204 403|404|404 404 403 404 403|401 401 401
DELETE /collections/{name} unknown                |401 404 404 404 403|401|404 404 403 404 403|404|404 404 403 404 403|401 401 401
GET /collections/{name}/images public             |401 200 403 403 403|401|200 200 200 403 403|403|403 403 403 403 403|401 401 401
GET /collections/{name}/images private            |401 200 404 404 403|401|200 200 200 403 403|404|404 404 404 403 403|401 401 401
GET /collections/{name}/images unknown            |401 404 404 404 403|401|404 404 404 403 403|404|404 404 404 403 403|401 401 401
GET /collections/{name}/images/{image_id} public  |401 200 403 403 403|401|200 200 200 403 403|403|403 403 403 403 403|401 401 401
GET /collections/{name}/images/{image_id} private |401 200 403 403 403|401|200 200 200 403 403|403|403 403 403 403 403|401 401 401
GET /collections/{name}/images/{image_id} unknown |401 404 403 403 403|401|404 404 404 403 403|403|403 403 403 403 403|401 401 401
PUT /collections/{name}/images/{image_id} public  |401 200 403 403 403|401|200 200 403 200 403|403|403 403 403 403 403|401 401 401
PUT /collections/{name}/images/{image_id} private |401 200 403 403 403|401|200 200 403 200 403|403|403 403 403 403 403|401 401 401
PUT /collections/{name}/images/{image_id} unknown |401 404 403 403 403|401|404 404 403 404 403|403|403 403 403 403 403|401 401 401
PATCH /collections/{name}/images/{image_id} public|401 200 403 403 403|401|200 200 403 200 403|403|403 403 403 403 403|401 401 401
PATCH /collections/{name}/images/{image_id} private|401 200 403 403 403|401|200 200 403 200 403|403|403 403 403 403 403|401 401 401
PATCH /collections/{name}/images/{image_id} unknown|401 404 403 403 403|401|404 404 403 404 403|403|403 403 403 403 403|401 401 401
DELETE /collections/{name}/images/{image_id} public|401 204 403 403 403|401|204 204 403 204 403|403|403 403 403 403 403|401 401 401
DELETE /collections/{name}/images/{image_id} private|401 204 403 403 403|401|204 204 403 204 403|403|403 403 403 403 403|401 401 401
DELETE /collections/{name}/images/{image_id} unknown|401 404 403 403 403|401|404 404 403 404 403|403|403 403 403 403 403|401 401 401
GET /c/{name} public                              |200 200 200 200 403|200|200 200 200 403 403|200|200 200 200 403 403|401 401 401
GET /c/{name} private                             |404 200 404 404 403|404|200 200 200 403 403|404|404 404 404 403 403|401 401 401
GET /c/{name} unknown                             |404 404 404 404 403|404|404 404 404 403 403|404|404 404 404 403 403|401 401 401

GET /shares                                       |401 200 200 200 403|401|200 200 200 403 403|200|200 200 200 403 403|401 401 401
POST /shares public                               |401 201 403 403 403|401|201 201 403 201 403|403|403 403 403 403 403|401 401 401
POST /shares private                              |401 201 404 404 403|401|201 201 403 201 403|404|404 404 403 404 403|401 401 401
POST /shares unknown                              |401 404 404 404 403|401|404 404 403 404 403|404|404 404 403 404 403|401 401 401
GET /shares/{id}                                  |401 200 404 404 403|401|200 200 200 403 403|404|404 404 404 403 403|401 401 401
GET /shares/{id} unknown                          |401 404 404 404 403|401|404 404 404 403 403|404|404 404 404 403 403|401 401 401
PATCH /shares/{id}                                |401 200 404 404 403|401|200 200 403 200 403|404|404 404 403 404 403|401 401 401
PATCH /shares/{id} unknown                        |401 404 404 404 403|401|404 404 403 404 403|404|404 404 403 404 403|401 401 401
DELETE /shares/{id}                               |401 204 404 404 403|401|204 204 403 204 403|404|404 404 403 404 403|401 401 401
DELETE /shares/{id} unknown                       |401 404 404 404 403|401|404 404 403 404 403|404|404 404 403 404 403|401 401 401
GET /s/{token} private                            |200 200 200 200 403|200|200 200 200 200 200|200|200 200 200 200 200|401 401 401
GET /s/{token} unknown                            |404 404 404 404 403|404|404 404 404 404 404|404|404 404 404 404 404|401 401 401
GET /s/{token}/images/{image_id} public           |200 200 200 200 403|200|200 200 200 200 200|200|200 200 200 200 200|401 401 401
GET /s/{token}/images/{image_id} private          |200 200 200 200 403|200|200 200 200 200 200|200|200 200 200 200 200|401 401 401
GET /s/{token}/images/{image_id} deleted          |404 404 404 404 403|404|404 404 404 404 404|404|404 404 404 404 404|401 401 401
GET /s/{token}/images/{image_id} taken down       |404 404 404 404 403|404|404 404 404 404 404|404|404 404 404 404 404|401 401 401
GET /s/{token}/images/{image_id} unknown          |404 404 404 404 403|404|404 404 404 404 404|404|404 404 404 404 404|401 401 401
GET /s/{token}/images/{image_id}/thumbnails/{size} public|200 200 200 200 403|200|200 200 200 200 200|200|200 200 200 200 200|401 401 401
GET /s/{token}/images/{image_id}/thumbnails/{size} private|200 200 200 200 403|200|200 200 200 200 200|200|200 200 200 200 200|401 401 401
GET /s/{token}/images/{image_id}/thumbnails/{size} deleted|404 404 404 404 403|404|404 404 404 404 404|404|404 404 404 404 404|401 401 401
GET /s/{token}/images/{image_id}/thumbnails/{size} taken down|404 404 404 404 403|404|404 404 404 404 404|404|404 404 404 404 404|401 401 401
GET /s/{token}/images/{image_id}/thumbnails/{size} unknown|404 404 404 404 403|404|404 404 404 404 404|404|404 404 404 404 404|401 401 401
POST /s/{token}/images                            |201 201 201 201 403|201|201 201 201 201 201|201|201 201 201 201 201|401 401 401
POST /s/{token}/images unknown                    |404 404 404 404 403|404|404 404 404 404 404|404|404 404 404 404 404|401 401 401
POST /s/{token}/password                          |204 204 204 204 204|204|204 204 204 204 204|204|204 204 204 204 204|204 204 204
POST /s/{token}/password unknown                  |404 404 404 404 404|404|404 404 404 404 404|404|404 404 404 404 404|404 404 404

POST /token                                       |201 201 201 201 201|201|201 201 201 201 201|201|201 201 201 201 201|201 201 201
POST /token/refresh                               |201 201 201 201 201|201|201 201 201 201 201|201|201 201 201 201 201|201 201 201
GET /accounts/me                                  |401 401 401 401 403|401|200 200 200 403 403|200|200 200 200 403 403|401 401 401
PUT /accounts/me/password                         |401 401 401 401 403|401|204 403 403 403 403|204|204 403 403 403 403|401 401 401
GET /accounts/me/sessions                         |401 401 401 401 403|401|200 403 403 403 403|200|200 403 403 403 403|401 401 401
DELETE /accounts/me/sessions                      |401 401 401 401 403|401|204 403 403 403 403|204|204 403 403 403 403|401 401 401
DELETE /accounts/me/sessions/{id} unknown         |401 401 401 401 403|401|404 403 403 403 403|404|404 403 403 403 403|401 401 401
GET /api-keys                                     |401 401 401 401 403|401|200 200 200 403 403|200|200 200 200 403 403|401 401 401
POST /api-keys                                    |401 401 401 401 403|401|201 201 403 403 403|201|201 201 403 403 403|401 401 401
GET /api-keys/{id}                                |401 401 401 401 403|401|200 200 200 403 403|404|404 404 404 403 403|401 401 401
GET /api-keys/{id} unknown                        |401 401 401 401 403|401|404 404 404 403 403|404|404 404 404 403 403|401 401 401
PUT /api-keys/{id}                                |401 401 401 401 403|401|200 200 403 403 403|404|404 404 403 403 403|401 401 401
PUT /api-keys/{id} unknown                        |401 401 401 401 403|401|404 404 403 403 403|404|404 404 403 403 403|401 401 401
DELETE /api-keys/{id}                             |401 401 401 401 403|401|204 204 403 403 403|404|404 404 403 403 403|401 401 401
DELETE /api-keys/{id} unknown                     |401 401 401 401 403|401|404 404 403 403 403|404|404 404 403 403 403|401 401 401

GET /plans                                        |401 200 200 200 403|401|200 200 200 403 403|200|200 200 200 403 200|401 401 401
GET /plans/{name}                                 |401 200 200 200 403|401|200 200 200 403 403|200|200 200 200 403 200|401 401 401
GET /plans/{name} unknown                         |401 404 404 404 403|401|404 404 404 403 403|404|404 404 404 403 404|401 401 401
POST /plans                                       |401 401 401 401 403|401|403 403 403 403 403|403|201 201 403 403 201|401 401 401
PUT /plans/{name}                                 |401 401 401 401 403|401|403 403 403 403 403|403|200 200 403 403 200|401 401 401
PUT /plans/{name} unknown                         |401 401 401 401 403|401|403 403 403 403 403|403|404 404 403 403 404|401 401 401
DELETE /plans/{name}                              |401 401 401 401 403|401|403 403 403 403 403|403|204 204 403 403 204|401 401 401
DELETE /plans/{name} unknown                      |401 401 401 401 403|401|403 403 403 403 403|403|404 404 403 403 404|401 401 401
GET /accounts                                     |401 401 401 401 403|401|403 403 403 403 403|403|200 200 403 403 200|401 401 401
POST /accounts                                    |401 401 401 401 403|401|403 403 403 403 403|403|201 201 403 403 201|401 401 401
GET /accounts/{id}                                |401 401 401 401 403|401|403 403 403 403 403|403|200 200 403 403 200|401 401 401
GET /accounts/{id} unknown                        |401 401 401 401 403|401|403 403 403 403 403|403|404 404 403 403 404|401 401 401
PATCH /accounts/{id}                              |401 401 401 401 403|401|403 403 403 403 403|403|200 200 403 403 200|401 401 401
PATCH /accounts/{id} unknown                      |401 401 401 401 403|401|403 403 403 403 403|403|404 404 403 403 404|401 401 401
DELETE /accounts/{id}                             |401 401 401 401 403|401|403 403 403 403 403|403|409 409 403 403 409|401 401 401
DELETE /accounts/{id} unknown                     |401 401 401 401 403|401|403 403 403 403 403|403|404 404 403 403 404|401 401 401
GET /audit                                        |401 401 401 401 403|401|403 403 403 403 403|403|200 200 403 403 200|401 401 401

GET /limits                                       |200 200 200 200 200|200|200 200 200 200 200|200|200 200 200 200 200|200 200 200
GET /health                                       |200 200 200 200 200|200|200 200 200 200 200|200|200 200 200 200 200|200 200 200
GET /ready                                        |200 200 200 200 200|200|200 200 200 200 200|200|200 200 200 200 200|200 200 200
GET /metrics                                      |200 200 200 200 200|200|200 200 200 200 200|200|200 200 200 200 200|200 200 200
";

/// How many images, or imports, each list shows: of two images of the owner, one public and one private, and the two
/// imports that created them. `-` means that the caller is rejected.
pub const SEEN: &str = "
                           |trusted            |req|owner              |oth|admin              |refused
                           |  - own oth adm dis|any|own key  rd  up  ad|oth|own key  rd  up  ad|dis exp bad
GET /images                |  1   2   1   1   -|  1|  2   2   2   -   -|  1|  1   1   1   -   -|  -   -   -
GET /images filtered       |  1   2   1   1   -|  1|  2   2   2   -   -|  1|  1   1   1   -   -|  -   -   -
GET /users/{user_id}/images|  1   2   1   1   -|  1|  2   2   2   -   -|  1|  1   1   1   -   -|  -   -   -
GET /tags/{tag}/images     |  1   2   1   1   -|  1|  2   2   2   -   -|  1|  1   1   1   -   -|  -   -   -
GET /links                 |  1   1   1   1   -|  1|  1   1   1   -   -|  1|  1   1   1   -   -|  -   -   -
GET /imports               |  -   2   0   0   -|  -|  2   2   2   -   -|  0|  0   0   0   -   -|  -   -   -
GET /stats                 |  1   1   1   1   -|  1|  1   1   1   -   -|  1|  2   2   1   -   -|  -   -   -
";

/// A row of a table.
#[derive(Debug, Clone)]
pub struct Row {
    /// `GET /images/{image_id}`, as the OpenAPI document spells it.
    pub operation: &'static str,
    /// The state of the resource. Empty if it is always the same.
    pub state: &'static str,
    /// By column, as in [`COLUMNS`].
    cells: Vec<&'static str>,
}

/// A column of both tables: its group and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub group: &'static str,
    pub name: &'static str,
}

/// The groups, each with its columns, in order.
const COLUMNS: [(&str, &[&str]); 6] = [
    ("trusted", &["-", "own", "oth", "adm", "dis"]),
    ("req", &["any"]),
    ("owner", &["own", "key", "rd", "up", "ad"]),
    ("oth", &["oth"]),
    ("admin", &["own", "key", "rd", "up", "ad"]),
    ("refused", &["dis", "exp", "bad"]),
];

pub fn columns() -> Vec<Column> {
    COLUMNS.iter().flat_map(|(group, names)| names.iter().map(|name| Column { group, name })).collect()
}

/// The rows of a table, whose header must match [`COLUMNS`].
pub fn rows(table: &'static str) -> Vec<Row> {
    let mut lines = table.lines().filter(|line| !line.is_empty());
    let mut header = || lines.next().expect("a header of two lines").split('|').skip(1);
    assert!(header().map(str::trim).eq(COLUMNS.map(|(group, _)| group)), "the first header line does not match COLUMNS");
    assert!(
        header().map(|names| names.split_whitespace().collect::<Vec<_>>()).eq(COLUMNS.map(|(_, names)| names.to_vec())),
        "the second header line does not match COLUMNS"
    );
    lines.map(row).collect()
}

fn row(line: &'static str) -> Row {
    let (name, cells) = line.split_once('|').expect("a name and cells");
    // The operation contains one space. The state after it may contain more.
    let name = name.trim();
    let end = name.match_indices(' ').nth(1).map_or(name.len(), |(at, _)| at);
    let cells: Vec<_> = cells.split(['|', ' ']).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells.len(), columns().len(), "{line}");
    Row { operation: &name[..end], state: name[end..].trim(), cells }
}

impl Row {
    pub fn method(&self) -> &'static str {
        self.operation.split(' ').next().unwrap_or_default()
    }

    pub fn path(&self) -> &'static str {
        self.operation.split(' ').nth(1).unwrap_or_default()
    }

    /// The cells with their columns. `-` is `None`, any other cell is a number.
    pub fn cells<T: std::str::FromStr>(&self) -> Vec<(Column, Option<T>)> {
        let read = |cell: &&str| match *cell {
            "-" => None,
            number => Some(number.parse().unwrap_or_else(|_| panic!("{number} in the row {self}"))),
        };
        columns().into_iter().zip(self.cells.iter().map(read)).collect()
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.operation)?;
        if self.state.is_empty() { Ok(()) } else { write!(f, " {}", self.state) }
    }
}
