/** A service that ends with it need not be started again: only a person can change why. */
export const REFUSED_EXIT_CODE = 78;
