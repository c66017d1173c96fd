-- The images of a user that administrators have taken down. The file of the same name for the other database makes the same index.
create index images_taken_down on images (user_id, deleted_at) where taken_down is not null;
