/** What a call left to look at before it is answered, in one place: most leave nothing, and each question costs an interpreter a call. */
export const after = {
  /** Jobs, rejections, measurements or a signal. */
  isDue: false,
};
