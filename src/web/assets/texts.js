// Every text of the pages. A second language is a second file with the same names.

import { count } from "./format.js";

export const texts = {
  title: "Pictures",
  skipToContent: "Skip to the pictures",

  nav: {
    mine: "Yours",
    everyone: "Everyone’s",
    filter: "Filter",
    api: "API",
    signIn: "Sign in",
    signOut: "Sign out",
    chooseName: "Choose a user name",
    changeName: "Change the user name",
    account: (name) => `Account of ${name}`,
  },

  gallery: {
    label: "Pictures",
    loading: "Loading pictures",
    total: (number) => count(number, "picture"),
    open: (name) => `Open ${name}`,
    private: "private",
    loadFailed: "The pictures could not be loaded.",
    moreFailed: "More pictures could not be loaded.",
    retry: "Try again",
    noResults: "No picture matches these filters.",
    clearFilters: "Clear the filters",
    emptyTitle: "No pictures yet",
    emptyMine: "Upload your first picture with this command:",
    emptyEveryone: "Nobody has uploaded a public picture yet. Upload one with this command:",
    copy: "Copy",
    copied: "Copied",
    unavailable: "This picture cannot be shown.",
  },

  filters: {
    label: "Filters",
    tags: "Tags",
    tagsHint: "Separate several with commas. A picture must have all of them.",
    collection: "Collection",
    user: "User",
    from: "Uploaded from",
    to: "Uploaded until",
    apply: "Apply",
    clear: "Clear",
    remove: (text) => `Remove the filter “${text}”`,
    tag: (tag) => `tag: ${tag}`,
    inCollection: (name) => `collection: ${name}`,
    ofUser: (name) => `user: ${name}`,
    fromDay: (day) => `from ${day}`,
    toDay: (day) => `until ${day}`,
  },

  viewer: {
    label: "Picture",
    close: "Close",
    zoom: "Zoom",
    previous: "Previous picture",
    next: "Next picture",
    details: "Details",
    error: "This picture cannot be shown.",
    delete: "Delete",
    deleted: "Picture deleted.",
    undo: "Undo",
    restored: "Picture restored.",
    download: "Download the original",
  },

  details: {
    loading: "Loading details",
    failed: "The details could not be loaded.",
    description: "Description",
    caption: "Caption",
    tags: "Tags",
    uploaded: "Uploaded",
    taken: "Taken",
    camera: "Camera",
    size: "Size",
    pixels: (width, height) => `${width} × ${height} pixels`,
    file: "File name",
    owner: "User",
    visibility: "Visibility",
    public: "Public: everyone can see it",
    private: "Private: only its owner can see it",
    colors: "Colours",
  },

  signIn: {
    title: "Sign in",
    email: "E-mail address",
    password: "Password",
    submit: "Sign in",
    cancel: "Cancel",
    expired: "Your session has expired. Sign in again to continue.",
  },

  userName: {
    title: "Who are you?",
    warning:
      "This service believes whoever asks: it checks no password. Choose the user name under which you upload. Anyone who can " +
      "reach this page can choose the same name, and then see and change your private pictures.",
    label: "User name",
    submit: "Continue",
    cancel: "Only look",
    rule: "Use letters, digits and . _ - @ : | + ~ = only.",
  },

  errors: {
    offline: "The service cannot be reached. Check your connection, then try again.",
    server: "The service has a problem. Try again in a moment.",
    busy: "The service is busy. Try again in a moment.",
    wrongPassword: "The e-mail address or the password is wrong.",
    unknown: "Something went wrong. Try again.",
  },
};
