#!/usr/bin/env python3
"""Writes small netCDF files by the C library, as models and archives leave them: python3 make.py

Needs the Python package netCDF4. Numbers are made up: precipitation (i + 1)(k + 1) / 8 mm/d for step i and basin k, in
kg m-2 s-1; temperature i - 3 degC, in K; flow 10 + i m3/s with step 3 missing.
"""

import netCDF4
import numpy as np

STEPS, BASINS = 12, [71028585, 71032409, 71032292]


def write(name, form, packed):
    with netCDF4.Dataset(name, "w", format=form) as f:
        f.createDimension("time", None)
        f.createDimension("hru", len(BASINS))
        more = {"zlib": True, "shuffle": True, "chunksizes": None} if form.startswith("NETCDF4") else {}
        time = f.createVariable("time", "f8", ("time",))
        time.units = "seconds since 2004-1-1 12:00:00.0 +00:00"
        time.calendar = "standard"
        time[:] = np.arange(STEPS) * 86400.0
        ids = f.createVariable("hruId", "i4", ("hru",))
        ids[:] = BASINS
        area = f.createVariable("area", "f8", ("hru",))
        area[:] = [1.0, 2.0, 3.0]
        i, k = np.arange(STEPS)[:, None], np.arange(len(BASINS))[None, :]
        rain = f.createVariable("pptrate", "f4", ("time", "hru"), **more)
        rain.units = "kg m-2 s-1"
        rain[:] = (i + 1) * (k + 1) / 8 / 86400
        if packed:
            air = f.createVariable("airtemp", "i2", ("time", "hru"), fill_value=-32767, **more)
            air.scale_factor, air.add_offset = 0.5, 270.15
        else:
            air = f.createVariable("airtemp", "f8", ("time", "hru"), **more)
        air.units = "K"
        air[:] = (i - 3) + 0 * k + 273.15
        flow = f.createVariable("q", "f4", ("time",), fill_value=-9999.0)
        flow.units = "m3 s-1"
        numbers = 10.0 + np.arange(STEPS)
        flow[:] = np.ma.masked_array(numbers, mask=np.arange(STEPS) == 3)


write("netcdf4_packed.nc", "NETCDF4", True)
write("netcdf4_plain.nc", "NETCDF4_CLASSIC", False)
write("classic_packed.nc", "NETCDF3_CLASSIC", True)
write("offset64_plain.nc", "NETCDF3_64BIT_OFFSET", False)
